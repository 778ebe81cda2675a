# The commands of this project; each is a script in scripts/ or a few lines here. `make help` lists them.
.DEFAULT_GOAL := build
JOBS ?= $(shell nproc)

.PHONY: help build asan tsan clang run test bench lint format clean distclean

help: ## list the commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

build: ## build the program: build/release/fileservice
	@scripts/build release

asan: ## build with AddressSanitizer and UndefinedBehaviorSanitizer: build/asan/fileservice
	@scripts/build asan

tsan: ## build with ThreadSanitizer: build/tsan/fileservice
	@scripts/build tsan

clang: ## build with the other compiler, for its warnings
	@scripts/build clang

run: ## set up everything and start the service on 127.0.0.1:5000 (with LocalStack unless AWS_S3_ENDPOINT is set)
	@scripts/run

test: ## set up and run every test
	@scripts/test

bench: ## set up and measure
	@scripts/install-bench-tools
	@scripts/build release
	@bench/run

lint: ## check format, includes, warnings, clang-tidy and the scripts
	@scripts/lint

format: ## format every C file in place
	@scripts/install-packages lint
	@find src include tests bench -name '*.[ch]' -print0 2>/dev/null | xargs -0 -r clang-format-14 -i

clean: ## remove what was built
	rm -rf build

distclean: clean ## remove what was installed for the project, too
	rm -rf .deps
