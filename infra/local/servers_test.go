package local

import (
	"net"
	"strings"
	"testing"
)

func TestListenSaysWhyAndWhatToDo(t *testing.T) {
	t.Parallel()
	busy, err := listen("gateway", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for _, tc := range []struct {
		port int
		want string
	}{
		{busy.Addr().(*net.TCPAddr).Port, "something else does"},
		{70_000, "invalid port"},
		{-1, "invalid port"},
	} {
		l, err := listen("gateway", tc.port)
		if err == nil {
			_ = l.Close()
			t.Fatalf("port %d: no error", tc.port)
		}
		if !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "--gateway-port") || strings.Contains(err.Error(), "\n") {
			t.Errorf("port %d: %v; want one line with %q", tc.port, err, tc.want)
		}
	}
}
