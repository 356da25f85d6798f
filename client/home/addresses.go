package home

import (
	"errors"
	"fmt"
	"io/fs"

	"warifu.dev/api"
	"warifu.dev/internal/wire"
)

// EncodeAddresses makes the [AddressesFile] of what a client knows, as its Claims say.
func EncodeAddresses(claims [][]byte) []byte { return wire.Encode(api.ClaimsMessage{Claims: claims}) }

// readAddresses reads the claims that a file has, and believes none of them: the client
// does, if the node signed it. Without the file there are none.
func readAddresses(name string) ([][]byte, error) {
	b, err := Read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var m api.ClaimsMessage
	if err := wire.Decode(b, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return m.Claims, nil
}
