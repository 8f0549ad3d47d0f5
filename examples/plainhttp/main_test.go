package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/quoit-go/quoit/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m.Run)) }

func TestHello(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(hello))
	srv.Config.ConnContext = withConn
	srv.Start()
	defer srv.Close()
	res, err := srv.Client().Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Error(res.Status)
	}
}

// A conn of another type is refused.
func TestOtherConn(t *testing.T) {
	client, _ := net.Pipe()
	defer client.Close()
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/", nil)
	hello(w, r.WithContext(withConn(r.Context(), client)))
	if w.Code != http.StatusInternalServerError {
		t.Errorf("code %d: %s", w.Code, w.Body)
	}
}

func TestServeFails(t *testing.T) {
	if err := serve("127.0.0.1:99999"); err == nil {
		t.Error("no error")
	}
}
