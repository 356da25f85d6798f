package warifutest

import (
	"fmt"

	"warifu.dev/policy"
)

// Applications that every policy of this package names.
const (
	AppA = "spiffe://test/a" // permitted by some policies
	AppB = "spiffe://test/b" // permitted by all
)

// Policy is a document that permits both applications, or all but [AppA]. Two with
// different numbers differ in their digest.
func Policy(number int, permitA bool) policy.Document {
	text := fmt.Sprintf("// number %d\n", number) +
		`@id("apps") permit (principal in Warifu::Group::"apps", action in [Warifu::Action::"unwrap", Warifu::Action::"encrypt", Warifu::Action::"unwrapBranch"], resource);`
	if !permitA {
		text += "\n" + `@id("not-a") forbid (principal == Warifu::Principal::"` + AppA + `", action, resource);`
	}
	member := func(uri string) string {
		return `{"uid": {"type": "Warifu::Principal", "id": "` + uri + `"},
			"parents": [{"type": "Warifu::Group", "id": "apps"}], "attrs": {}}`
	}
	return policy.Document{Format: policy.Format, Text: text, Entities: "[" + member(AppA) + "," + member(AppB) + "]"}
}
