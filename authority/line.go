package authority

import (
	"encoding/base64"
	"fmt"
	"strings"

	"warifu.dev/api"
	"warifu.dev/internal/wire"
)

// The public halves of a node and of a custodian travel by mail or telephone
// as one line of text each: a word, the name again for the human reader, and
// the canonical encoding in unpadded base64url.
const (
	nodeLine      = "warifu-node-1"
	custodianLine = "warifu-custodian-1"
	maxLine       = 8 << 10
)

// FormatNode renders a roster line: "warifu-node-1 ID REGION BASE64".
func FormatNode(n Node) string {
	return strings.Join([]string{nodeLine, n.ID, n.Region, base64.RawURLEncoding.EncodeToString(wire.Encode(n))}, " ")
}

// ParseNode reads a roster line and verifies its address claim. Failures wrap [ErrGenesis].
func ParseNode(line string) (Node, error) {
	var n Node
	fields, err := parseLine(line, nodeLine, 4, &n)
	if err != nil {
		return Node{}, err
	}
	if fields[1] != n.ID || fields[2] != n.Region || n.Claim.Node != n.ID {
		return Node{}, fmt.Errorf("%w: the roster line of %q is about %q", ErrGenesis, fields[1], n.ID)
	}
	for _, name := range []string{n.ID, n.Region} {
		if err := api.CheckName(name); err != nil {
			return Node{}, fmt.Errorf("%w: roster line: %w", ErrGenesis, err)
		}
	}
	if err := n.Claim.Verify(n.Key); err != nil {
		return Node{}, fmt.Errorf("%w: roster line of %s: %w", ErrGenesis, n.ID, err)
	}
	return n, nil
}

// FormatCustodian renders a custodian's public line: "warifu-custodian-1 NAME BASE64".
func FormatCustodian(c Custodian) string {
	return strings.Join([]string{custodianLine, c.Name, base64.RawURLEncoding.EncodeToString(wire.Encode(c))}, " ")
}

// ParseCustodian reads a custodian's public line. Failures wrap [ErrGenesis].
func ParseCustodian(line string) (Custodian, error) {
	var c Custodian
	fields, err := parseLine(line, custodianLine, 3, &c)
	if err != nil {
		return Custodian{}, err
	}
	if fields[1] != c.Name {
		return Custodian{}, fmt.Errorf("%w: the line of the custodian %q is about %q", ErrGenesis, fields[1], c.Name)
	}
	if err := api.CheckName(c.Name); err != nil {
		return Custodian{}, fmt.Errorf("%w: custodian line: %w", ErrGenesis, err)
	}
	if _, err := ParsePublicKey(c.Sign); err != nil {
		return Custodian{}, fmt.Errorf("%w: custodian %s: %w", ErrGenesis, c.Name, err)
	}
	return c, nil
}

func parseLine(line, word string, count int, v any) ([]string, error) {
	if len(line) > maxLine {
		return nil, fmt.Errorf("%w: a line of %d bytes", ErrGenesis, len(line))
	}
	fields := strings.Fields(line)
	if len(fields) != count || fields[0] != word {
		return nil, fmt.Errorf("%w: not a line that begins with %s", ErrGenesis, word)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(fields[count-1])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGenesis, err)
	}
	if err := wire.Decode(b, v); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGenesis, err)
	}
	return fields, nil
}
