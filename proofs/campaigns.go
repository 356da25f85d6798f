package main

import (
	"regexp"
	"time"
)

// campaigns are the long runs, each with the line in which it counts.
var campaigns = []campaign{
	{
		name: "fuzz", what: "every decoder is fuzzed for its share of ten minutes",
		command: []string{"make", "fuzz"}, patient: 30 * time.Minute,
		says: regexp.MustCompile(`(?m)^[0-9]+ fuzz targets ran.*$`),
	},
}
