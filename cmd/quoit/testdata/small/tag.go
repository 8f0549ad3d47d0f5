//go:build special

package main

func init() { tag = "special" }
