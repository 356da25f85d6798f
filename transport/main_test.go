package transport

import (
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience bounds what a busy machine may need; nothing is measured by it.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	// quic-go prints a hint about net.core.rmem_max on machines with a small one.
	os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	goleak.VerifyTestMain(m)
}
