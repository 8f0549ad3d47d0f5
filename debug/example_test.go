package debug_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/quoit-go/quoit/debug"
)

// A page for a browser, and JSON for curl, at an address of their own.
func ExampleHandler() {
	mux := http.NewServeMux()
	mux.Handle("/debug/quoit", debug.Handler(nil)) // of the default engine
	server := httptest.NewServer(mux)
	defer server.Close()

	resp, err := http.Get(server.URL + "/debug/quoit")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status, resp.Header.Get("Content-Type"))
	// Output: 200 OK application/json
}
