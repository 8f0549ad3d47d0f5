// Package conformance runs other projects' test suites, servers and clients
// on quoit: nettest, gRPC, WebSocket, fasthttp and HTTP/2. It has tests only,
// in a module of its own, so that applications do not inherit what they need.
//
// With QUOIT_TEST_REQUIRE=1 the tests fail where package net serves.
package conformance
