// Command caddy is Caddy with its standard modules and quoit.
//
//	go run -C examples/caddy ./cmd/caddy run
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/quoit-go/quoit/examples/caddy"
)

func main() { caddycmd.Main() }
