# Everything a newcomer needs: make demo, make test. Both set up what is missing.
SHELL := /bin/bash
.PHONY: help demo demo-down demo-tour demo-check drill-hsm-lost drill-region-lost drill-quorum-lost drill-upgrade stories test age-big lint fuzz prove prove-long revokes kills turnover bench bench-goals bench-scale bench-compare bench-page bench-keys bench-refresh bench-create timing liar build deps

help:
	@echo "make demo        five nodes on this machine, a key, a file opened by quorum"
	@echo "make demo-tour   the commands of the demo's closing screen, one by one"
	@echo "make demo-check  kill every pair of nodes, and then a third; measured"
	@echo "make demo-down   stop the demo and remove .demo"
	@echo "make drill-hsm-lost     a node's token is destroyed under load, and the node replaced; measured"
	@echo "make drill-region-lost  a region dies under load and comes back, by docs/operations.md; measured"
	@echo "make drill-quorum-lost  three of five machines are lost for good, and a new cluster adopts the key; measured"
	@echo "make drill-upgrade      node by node from an older commit, under load; FROM=COMMIT, else the one before"
	@echo "make stories     a hospital by day and night, a bank, a manufacturer: who may open what"
	@echo "make test        every test, with the race detector, SoftHSM included"
	@echo "make age-big     1 GiB through age and warifu, in constant memory"
	@echo "make lint        gofumpt, go vet, staticcheck, and a build without cgo"
	@echo "make fuzz        every fuzz target, ten minutes in all; FUZZ=90s for less"
	@echo "make prove       each promise tried, and tried again with faults planted"
	@echo "make prove-long  the same with every count at full length; writes docs/proofs/"
	@echo "make revokes     2,000 revokes race 20,000 unwraps while nodes and networks suffer"
	@echo "make kills       each node killed at each step of a new and a running cluster, of rotation, replacement and destruction"
	@echo "make turnover    ten refreshes, reshares, nodes that come, go and are replaced, a new version, under load"
	@echo "make timing      a million partials, of a fixed and of random shares: no difference in time (R18)"
	@echo "make bench       what one unwrap costs, step by step"
	@echo "make bench-goals what unwraps cost against the least that they could cost"
	@echo "make bench-scale clusters of 3 to 9 nodes on one and two cores, and what 16 would do"
	@echo "make bench-compare  two commits, judged by runs in turn; OLD=COMMIT NEW=COMMIT"
	@echo "make bench-page  the page of a run that was saved, and a picture of it; RUN=FILE.json"
	@echo "make liar        a warifud that can be made to lie, into bin/liar, for warifu-bench load --fail lie"
	@echo "make bench-keys  what ten keys cost, and 10,000: unwraps, a start, memory"
	@echo "make bench-refresh  new shares for 1,000 keys, and what unwraps take meanwhile"
	@echo "make bench-create  a key that is born, and one that is taken from a pool: time, and entries of the log"

deps:
	@script/deps

build: deps
	@mkdir -p bin
	@go build -buildvcs=auto -o bin/ ./cmd/...

demo: build
	@script/demo up

demo-down:
	@script/demo down

demo-tour: build
	@script/demo up
	@script/demo tour

demo-check: build
	@script/demo up
	@script/demo check

drill-hsm-lost: build
	@script/drill hsm-lost

drill-region-lost: build
	@script/drill region-lost

drill-quorum-lost: build
	@script/drill quorum-lost

drill-upgrade: build
	@script/drill upgrade $(FROM)

stories: build
	@script/stories

test:
	@script/deps --test
	@script/test

# 1 GiB from age to warifu and back, in memory that does not grow.
age-big:
	@script/deps --test
	go test -tags big -count=1 -run OneGiB -v ./cmd/age-plugin-warifu/

lint:
	@script/lint

FUZZ ?= 10m
fuzz:
	@script/deps --test
	@script/fuzz $(FUZZ)

prove:
	@script/deps --test
	@go run ./proofs

# Without the race detector, under which make test runs a tenth of it.
revokes:
	@script/deps --test
	go test -count=1 -timeout 30m -v -run '^TestRevokesRaceUnwraps$$' ./warifutest

kills:
	@script/deps --test
	go test -count=1 -timeout 2h -v -run 'EachStepMayBeTheLast|ANodeMayDie' ./bench/cluster -every-node -running

turnover:
	@script/deps --test
	go test -count=1 -timeout 1h -v -run '^TestNoRequestFailsWhileSharesTurnOver$$' ./bench/cluster -refreshes 10

prove-long:
	@script/deps --test
	@go run ./proofs -long docs/proofs

timing:
	go test -tags timing -count=1 -run TakesNoTime -v ./sharing/tdh2/

bench-keys:
	go test ./node -run '^$$' -bench Keys -benchtime 2s
	go test ./node -run StartsWithManyKeys -keys 10000 -rounds 20 -v

# Most of it is the birth of the keys, one ceremony each, and the minute in which old shares
# live beside the new ones.
bench-refresh:
	@script/deps --test
	go test ./bench/cluster -run '^$$' -bench '^BenchmarkRefresh$$' -benchtime 1x -timeout 1h -refreshed-keys 1000

bench-create:
	@script/deps --test
	go test ./bench/cluster -run '^$$' -bench '^BenchmarkKeyCreate$$' -benchtime 1x

bench: build
	bin/warifu-bench decrypt --start

bench-goals: build
	bin/warifu-bench goals --start --overload 60s $(GOALS)

bench-page: build
	@script/bench-page $(RUN)

# What no warifud of this module can do: for warifu-bench load --fail lie --bin bin/liar.
liar: deps
	@mkdir -p bin/liar
	go run ./bench/liar bin/liar

bench-compare: deps
	@script/bench-compare $(OLD) $(NEW) $(COMPARE)

bench-scale: build
	bin/warifu-bench scale $(SCALE)
