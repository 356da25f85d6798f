package transport

import (
	"testing"

	"warifu.dev/internal/wire"
	"warifu.dev/internal/wire/wiretest"
)

func TestFramesAreWrittenAsTheirTagsSay(t *testing.T) {
	wiretest.Same(t, new(request), new(answer))
}

// Whatever bytes come, a frame is read as its tags say, or refused as by them.
func FuzzFrames(f *testing.F) {
	f.Add(wire.Encode(&request{ID: 1 << 40, Method: 5, TimeoutMS: 5000, Body: []byte("body")}))
	f.Add(wire.Encode(&answer{ID: 30, Code: "denied", Sentence: "no", Retryable: true, Body: []byte("b"), Detail: []byte("d")}))
	f.Fuzz(func(t *testing.T, b []byte) { wiretest.Agree(t, b, new(request), new(answer)) })
}
