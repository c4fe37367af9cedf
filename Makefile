# The front door: each target is a step of tools/ or one CMake preset. `make help` lists them.

MODEL := models/smollm2-135m-instruct-q4_1.gguf
PREFIX ?= /usr/local
CMAKE_ARGS ?=
CTEST_ARGS ?=
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?=
TEST_JOBS ?= 2

# Sanitizers end the program at the first finding, with an exit status no test takes for right.
ASAN_ENV := ASAN_OPTIONS=halt_on_error=1:exitcode=99:detect_leaks=1:strict_string_checks=1 \
            UBSAN_OPTIONS=halt_on_error=1:exitcode=99:print_stacktrace=1
TSAN_ENV := TSAN_OPTIONS=halt_on_error=1:exitcode=99:second_deadlock_stack=1
# What sanitizers have no part in: long comparisons of numbers, whose code others run as well; for
# threads also what has but one, or runs the same server another time.
ASAN_SKIP := ^(golden\.engine|unit\.engine\.(exact|sampler)|docs)
TSAN_UNITS := unit\.(base|config|model|tokenizer|template|http|engine\.(exact|sampler|teacher|params))
TSAN_RUNS := http\.blackbox\.(api_|bench_|cli_|exact_oracle|exact_evaluation|hostile|http_attack)
TSAN_SKIP := ^(golden|docs|op\.tensor\.(attention|matmul)|$(TSAN_UNITS)|$(TSAN_RUNS))
# Black-box tests wait longer and do less by this factor.
SLOW_ENV := VALET_TEST_SLOW=10

configure = cmake --preset $(1) $(CMAKE_ARGS)
suite = ctest --test-dir build/$(1) --output-on-failure -j $(TEST_JOBS) $(2) $(CTEST_ARGS)

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: build model run test asan tsan cov golden bench fuzz arm lint format install clean help setup setup-test

build: setup
	$(call configure,release)
	cmake --build build/release

run: build model
	@exec ./build/valet serve $(MODEL) $(ARGS)

model: setup
	@tools/get_model.sh $(MODEL)

test: setup-test model build/venv/ready build/llhttp/llhttp.c build/js/ready
	$(call configure,debug)
	cmake --build build/debug
	$(call suite,debug,-LE '^slow$$')

asan: setup-test model build/venv/ready build/llhttp/llhttp.c build/js/ready
	$(call configure,asan)
	cmake --build build/asan
	$(ASAN_ENV) $(SLOW_ENV) $(call suite,asan,-LE '^slow$$' -E '$(ASAN_SKIP)')

tsan: setup-test model build/venv/ready build/llhttp/llhttp.c build/js/ready
	$(call configure,tsan)
	cmake --build build/tsan
	$(TSAN_ENV) $(SLOW_ENV) $(call suite,tsan,-LE '^slow$$' -E '$(TSAN_SKIP)')

# Counting makes everything slower, so black-box tests wait longer.
cov: setup-test model build/venv/ready build/llhttp/llhttp.c build/js/ready
	$(call configure,cov)
	cmake --build build/cov
	@find build/cov -name '*.gcda' -delete
	VALET_TEST_SLOW=3 $(call suite,cov,-LE '^slow$$')
	@python3 tools/coverage.py build/cov

golden: setup-test model
	$(call configure,debug)
	cmake --build build/debug
	$(call suite,debug,-L '^slow$$')

bench: build model
	./build/valet bench $(MODEL)
	python3 bench/front.py $(ARGS)

fuzz: build/llhttp/llhttp.c
	@tools/setup.sh build fuzz
	$(call configure,fuzz)
	cmake --build build/fuzz --target fuzz
	FUZZ_SECONDS=$(FUZZ_SECONDS) fuzz/run.sh build/fuzz $(FUZZ_TARGETS)

# Emulated, so slow; what is tested elsewhere stays out.
arm:
	@tools/setup.sh build arm
	$(call configure,arm64)
	cmake --build build/arm64
	CK_TIMEOUT_MULTIPLIER=20 $(call suite,arm64,)

lint:
	@tools/setup.sh lint
	python3 tools/check_layers.py
	python3 tools/check_style.py
	tools/check_format.sh

format:
	@tools/setup.sh lint
	tools/check_format.sh --fix

install: build
	install -D -m 755 build/valet $(DESTDIR)$(PREFIX)/bin/valet
	install -d $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/doc/valet \
	    $(DESTDIR)$(PREFIX)/share/bash-completion/completions \
	    $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/lib/sysusers.d
	build/valet man >$(DESTDIR)$(PREFIX)/share/man/man1/valet.1
	build/valet completion bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/valet
	build/valet config example >$(DESTDIR)$(PREFIX)/share/doc/valet/valet.example.yaml
	sed 's|@PREFIX@|$(PREFIX)|' packaging/valet.service \
	    >$(DESTDIR)$(PREFIX)/lib/systemd/system/valet.service
	install -m 644 packaging/valet.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/valet.conf

clean:
	rm -rf build

setup:
	@tools/setup.sh build

setup-test:
	@tools/setup.sh build test

build/venv/ready: tests/requirements.txt
	python3 -m venv --clear build/venv
	build/venv/bin/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	@touch $@

build/llhttp/llhttp.c: tests/llhttp.txt
	@tools/get_llhttp.sh $(@D)

build/js/ready: tests/blackbox/js/package.json tests/blackbox/js/package-lock.json
	@tools/get_js_client.sh $(@D)
	@touch $@

help:
	@echo 'make                    build ./build/valet'
	@echo 'make run [ARGS=...]     build it, get the default model, serve on 127.0.0.1:2000'
	@echo 'make model              get the default model (98 MB) into models/'
	@echo 'make test               the whole test suite'
	@echo 'make asan | make tsan   the suite under the address+undefined or thread sanitizer'
	@echo 'make cov                the suite once more, and how many lines of src/ it runs'
	@echo 'make golden             the long comparisons with reference results'
	@echo 'make bench [ARGS=...]   speed beside the limits of the machine, behaviour under load (bench/README.md)'
	@echo 'make fuzz               hostile inputs, FUZZ_SECONDS (60) for each target of fuzz/'
	@echo 'make arm                the kernels for AArch64 and their tests, under emulation'
	@echo 'make lint               layers, style, format'
	@echo 'make format             lay out the C code as .clang-format says'
	@echo 'make install PREFIX=... valet, its manual page, completion and unit (default /usr/local)'
	@echo 'make clean              remove build/; models stay'
	@echo
	@echo 'CMAKE_ARGS goes to cmake, CTEST_ARGS to ctest, ARGS to valet serve.'
