package audit

import (
	"testing"

	"warifu.dev/internal/wire/wiretest"
)

func TestARecordIsWrittenAsItsTagsSay(t *testing.T) { wiretest.Same(t, new(Record)) }
