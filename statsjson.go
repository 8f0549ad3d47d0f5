package quoit

import (
	"encoding/json"
	"fmt"
	"net"
)

// MarshalText is String, for JSON and logs. It fails for what is no Gear.
func (g Gear) MarshalText() ([]byte, error) {
	if g < GearAuto || g > GearPoll {
		return nil, fmt.Errorf("quoit: there is no %v", g)
	}
	return []byte(g.String()), nil
}

// UnmarshalText takes the names auto, ring and poll.
func (g *Gear) UnmarshalText(name []byte) error {
	for known := GearAuto; known <= GearPoll; known++ {
		if known.String() == string(name) {
			*g = known
			return nil
		}
	}
	return fmt.Errorf("quoit: gear %q, want auto, ring or poll", name)
}

// The types below have the fields of their namesakes but no methods. What stands
// beside one of them replaces the field with the same key.

// MarshalJSON encodes as the comment of Stats says.
func (s Stats) MarshalJSON() ([]byte, error) {
	type stats Stats
	return json.Marshal(struct {
		Transport  string `json:"transport"`
		Reason     string `json:"reason"`
		SetupError string `json:"setup_error"`
		stats
	}{s.Transport, errorText(s.Reason), errorText(s.SetupError), stats(s)})
}

// MarshalJSON encodes as the comment of Stats says.
func (s ListenerStats) MarshalJSON() ([]byte, error) {
	type listenerStats ListenerStats
	return json.Marshal(struct {
		Network string `json:"network"`
		Addr    string `json:"addr"`
		listenerStats
	}{network(s.Addr), addrText(s.Addr), listenerStats(s)})
}

// MarshalJSON encodes as the comment of Stats says.
func (s SteeringStats) MarshalJSON() ([]byte, error) {
	type steeringStats SteeringStats
	return json.Marshal(struct {
		Addr   string `json:"addr"`
		Policy string `json:"policy"`
		Err    string `json:"err"`
		steeringStats
	}{addrText(s.Addr), s.Policy, errorText(s.Err), steeringStats(s)})
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func addrText(a net.Addr) string {
	if a == nil {
		return ""
	}
	return a.String()
}

func network(a net.Addr) string {
	if a == nil {
		return ""
	}
	return a.Network()
}
