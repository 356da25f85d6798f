package bench_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// exchange is one request, exactly, and what came back.
type exchange struct {
	Name    string
	Request struct {
		Method, Path, Body string
		Header             map[string]string
	}
	Response struct {
		Status int
		Header map[string]string
		Body   string
		Cut    int `json:"cut_after"` // bytes, after which the connection ends; 0: it does not
	}
}

// replay answers recorded requests in their order, and no others. The order of those
// that have the same words is theirs.
type replay struct {
	*httptest.Server
	mu      sync.Mutex
	left    []exchange // guarded by mu
	strange []string   // guarded by mu; requests that were not recorded
}

// byTheWay are the headers that Go's client and server write of themselves.
var byTheWay = map[string]bool{"User-Agent": true, "Content-Length": true}

func replayed(t *testing.T, file string) *replay {
	t.Helper()
	var story struct {
		Story, Source string
		Exchanges     []exchange
	}
	b, err := os.ReadFile(filepath.Join("testdata", "transit", file))
	if err == nil {
		err = json.Unmarshal(b, &story)
	}
	if err != nil {
		t.Fatal(err)
	}
	if story.Story == "" || story.Source == "" || len(story.Exchanges) == 0 {
		t.Fatalf("%s does not say what it is and where it is from", file)
	}
	r := &replay{left: story.Exchanges}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *replay) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	header := map[string]string{}
	for name, values := range q.Header {
		if !byTheWay[name] {
			header[name] = fmt.Sprint(values)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, e := range r.left {
		want := map[string]string{}
		for name, value := range e.Request.Header {
			want[name] = fmt.Sprint([]string{value})
		}
		if e.Request.Method != q.Method || e.Request.Path != q.RequestURI || e.Request.Body != string(body) || !maps.Equal(header, want) {
			continue
		}
		r.left = append(r.left[:i:i], r.left[i+1:]...)
		for name, value := range e.Response.Header {
			w.Header().Set(name, value)
		}
		if e.Response.Cut > 0 {
			w.Header().Set("Content-Length", fmt.Sprint(len(e.Response.Body)))
			e.Response.Body = e.Response.Body[:e.Response.Cut]
		}
		w.WriteHeader(e.Response.Status)
		_, _ = io.WriteString(w, e.Response.Body) // whoever does not read it says so
		if e.Response.Cut > 0 {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		return
	}
	r.strange = append(r.strange, fmt.Sprintf("%s %s %v %s", q.Method, q.RequestURI, header, body))
	w.WriteHeader(http.StatusTeapot)
}

// told says what was not asked for, and what was asked for besides.
func (r *replay) told(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.left {
		t.Errorf("%q was not asked for: %s", e.Name, e.Request.Body)
	}
	for _, s := range r.strange {
		t.Errorf("this was not recorded: %s", s)
	}
}
