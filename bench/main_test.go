package bench

import (
	"os"
	"testing"

	"github.com/oglab/ogcache/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }
