package certificate

import (
	_ "embed"
	"fmt"
	"html/template"
	"strings"
	"time"
)

//go:embed page.html
var pageHTML string

// page escapes whatever comes from outside, by where it stands (html/template).
var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"at":   func(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05 UTC") },
	"wait": func(ms int64) string { return (time.Duration(ms) * time.Millisecond).String() },
	"list": func(words []string) string { return strings.Join(words, ", ") },
}).Parse(pageHTML))

// Page is the certificate for people: one HTML file that loads nothing and runs nothing.
// It has no weight of its own, and says so.
func (c *Certificate) Page() string {
	var b strings.Builder
	if err := page.Execute(&b, &c.Says); err != nil {
		panic(fmt.Sprintf("certificate: %v", err)) // the template is ours
	}
	return b.String()
}
