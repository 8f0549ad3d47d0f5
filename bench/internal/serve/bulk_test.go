package serve

import (
	"io"
	"testing"

	"github.com/quoit-go/quoit/bench/internal/workload"
)

// One request in two pieces and a second one are two answers.
func TestAnswers(t *testing.T) {
	for _, transport := range Transports {
		t.Run(transport, func(t *testing.T) {
			c := dialServer(t, Spec{Kind: workload.ServeAnswer, Transport: transport})
			for _, n := range []int{1, 2*workload.AskBytes - 1} {
				if _, err := c.Write(make([]byte, n)); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(c)
			if err != nil || len(b) != 2*workload.AnswerBytes {
				t.Fatalf("%d bytes, %v", len(b), err)
			}
			if !workload.MatchesPattern(b[:workload.AnswerBytes], 0) || !workload.MatchesPattern(b[workload.AnswerBytes:], 0) {
				t.Error("the answers are wrong")
			}
		})
	}
}
