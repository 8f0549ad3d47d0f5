module github.com/quoit-go/quoit/programs

go 1.26.0

replace github.com/quoit-go/quoit => ../

require (
	github.com/quoit-go/quoit v0.0.0-00010101000000-000000000000
	github.com/vishvananda/netlink v1.3.1
	github.com/vishvananda/netns v0.0.5
	golang.org/x/net v0.62.0
	golang.org/x/sys v0.49.0
)

require golang.org/x/text v0.43.0 // indirect
