// Command hello says whether it was built with the race detector.
package main

import "fmt"

func main() { fmt.Println("hello, " + detector) }
