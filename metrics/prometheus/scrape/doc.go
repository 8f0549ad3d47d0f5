// Package scrape has a real Prometheus scrape quoit's collector. It is a module of its
// own: who uses the collector shall not have the server's dependencies.
package scrape
