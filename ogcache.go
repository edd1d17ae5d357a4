// Package ogcache builds ogcache's k6 extension into a k6 of one's own:
//
//	xk6 build --with github.com/oglab/ogcache
package ogcache

import _ "github.com/oglab/ogcache/xk6-ogcache" // registers k6/x/ogcache
