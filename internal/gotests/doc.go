// Package gotests runs Go's own tests of net, net/http and crypto/tls as quoit build
// would build them. A package of the standard library cannot import quoit: a copy of
// GOROOT has quoit among what the standard library vendors. It takes minutes, so it
// is asked for:
//
//	QUOIT_GOTESTS=1 go test -v -timeout 0 ./internal/gotests
package gotests
