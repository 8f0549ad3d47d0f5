package main

// Exit codes.
const (
	exitOK       = 0
	exitUnusable = 1
	exitUsage    = 2
)
