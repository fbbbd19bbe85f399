# torc: build, test and install. New source files need no edit here: folders are read with wildcards.
#
#   make            all programs and libraries into build/
#   make run        a server on 127.0.0.1:7070 with its data in ./data; installs what is missing, builds, runs
#   make test       lint, unit tests, tests with real processes
#   make unit       the unit tests alone; FOLDERS="reactor engine" links and runs only those folders
#   make simulator  build/sim and build/test/sim: the same sources on reactor/sim; make sim-unit runs the latter
#   make sim        the simulator over SEEDS=2000 and all crash points; make sim-long SECONDS=3600 FROM=100001
#   make sabotage   faults put into torc, one at a time, that the simulator must find
#   make fuzz       libFuzzer on every parser; TARGET=table SECONDS=60; make fuzz-smoke: all of them, two at a time
#   make coverage   the branches of engine/ that the tests take; fails below 90 %
#   make asan tsan  the unit tests under the sanitizers; make debug: without optimisation
#   make bench      a short comparison run
#   make lint format docs install clean deps
#
# Variables: V=1 (show commands), CC=clang, VARIANT=debug|asan|tsan|clang|sim, REACTOR=uring, PREFIX=/usr/local, DESTDIR=, JOBS=2

VERSION := $(shell sed -n 's/.*TORC_VERSION "\(.*\)"/\1/p' reactor/base/version.h)
SONAME_VERSION := 0

ifeq ($(origin CC),default)
CC := gcc
endif
VARIANT ?= release
REACTOR ?= uring
PREFIX ?= /usr/local
JOBS ?= $(shell nproc 2>/dev/null || echo 1)
FOLDERS ?= reactor engine wire shard offline client bench
PYTHON ?= python3

# Each step says one line; V=1 shows the commands.
Q := $(if $(V),,@)
say = @$(if $(V)$(findstring s,$(firstword -$(MAKEFLAGS))),:,printf '  %-7s %s\n' $(1) $@)

# Our own recursion runs in parallel unless the caller chose how.
PARALLEL = $(if $(findstring -j,$(MAKEFLAGS)),,-j$(JOBS))

# ---- compiler ----

MACHINE := $(shell $(CC) -dumpmachine 2>/dev/null)
IS_CLANG := $(shell $(CC) --version 2>/dev/null | grep -c clang)
IS_X86 := $(findstring x86_64,$(MACHINE))

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
ifneq ($(IS_CLANG),0)
WARNINGS += -Wno-string-conversion # ASSERT(!"a sentence")
endif
CPPFLAGS_OURS := -D_GNU_SOURCE -I. -MMD -MP
CFLAGS_OURS := -std=gnu17 -g $(WARNINGS) -fno-omit-frame-pointer
LDFLAGS_OURS := -Wl,--as-needed
LIBS := -luring -lmimalloc -lxxhash -lzstd -linih -ljansson -ledit -lcunit -lpthread -lm

HARDENING := -D_FORTIFY_SOURCE=3 -fstack-protector-strong
ifneq ($(IS_X86),)
# No shadow stack: tasks switch stacks with a plain return.
HARDENING += -fstack-clash-protection -fcf-protection=branch
else ifeq ($(IS_CLANG),0)
HARDENING += -fstack-clash-protection
endif
HARDENING_LINK := -Wl,-z,relro,-z,now

ifeq ($(VARIANT),release)
OUT := build
CFLAGS_VARIANT := -O2 $(HARDENING)
LDFLAGS_VARIANT := $(HARDENING_LINK)
else ifeq ($(VARIANT),clang)
OUT := build/clang
CFLAGS_VARIANT := -O2 $(HARDENING)
LDFLAGS_VARIANT := $(HARDENING_LINK)
else ifeq ($(VARIANT),debug)
OUT := build/debug
CFLAGS_VARIANT := -O0
else ifeq ($(VARIANT),asan)
OUT := build/asan
CFLAGS_VARIANT := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all
LDFLAGS_VARIANT := -fsanitize=address,undefined
else ifeq ($(VARIANT),tsan)
OUT := build/tsan
CFLAGS_VARIANT := -O1 -fsanitize=thread
LDFLAGS_VARIANT := -fsanitize=thread
else ifeq ($(VARIANT),sim)
OUT := build/simulator
CFLAGS_VARIANT := -O2 $(HARDENING)
LDFLAGS_VARIANT := $(HARDENING_LINK)
else ifeq ($(VARIANT),fuzz)
OUT := build/fuzz
CFLAGS_VARIANT := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
LDFLAGS_VARIANT := -fsanitize=fuzzer,address,undefined
else ifeq ($(VARIANT),coverage)
OUT := build/coverage
CFLAGS_VARIANT := -O0 --coverage -fprofile-update=atomic -DTORC_COVERAGE
LDFLAGS_VARIANT := --coverage
else
$(error VARIANT is $(VARIANT); it can be release, debug, asan, tsan, clang, sim, fuzz or coverage)
endif

# The simulator counts the marks of rare branches (reactor/base/mark.h), so what is released is not what it links:
# its objects are a variant of their own, and its programs stand where one looks for them. The variants that only
# test compile it among the rest.
ifneq ($(filter sim asan clang debug coverage,$(VARIANT)),)
CPPFLAGS_OURS += -DTORC_MARKS
endif
SIM_OUT := $(if $(filter tsan,$(VARIANT)),,$(if $(filter sim,$(VARIANT)),build,$(OUT)))

# What is compiled with other flags than before is compiled anew.
COMPILE := $(CC) $(CPPFLAGS_OURS) $(CPPFLAGS) $(CFLAGS_OURS) $(CFLAGS_VARIANT) $(CFLAGS)
CFLAGS_AVX2 := $(if $(filter x86_64,$(shell $(CC) -dumpmachine | cut -d- -f1)),-mavx2)
LINK := $(CC) $(CFLAGS_OURS) $(CFLAGS_VARIANT) $(CFLAGS) -pie $(LDFLAGS_OURS) $(LDFLAGS_VARIANT) $(LDFLAGS)

# ---- sources ----

find_c = $(sort $(shell find $(1) -name '*.[cS]' 2>/dev/null))
with_main = $(if $(1),$(shell grep -l '^int main\>' $(1)))

SRC_base := $(call find_c,reactor/base)
SRC_core := $(sort $(wildcard reactor/*.[cS])) $(SRC_base)
SRC_reactor := $(SRC_core) $(call find_c,reactor/$(REACTOR))
SRC_engine := $(call find_c,engine)
SRC_wire := $(call find_c,wire)
SRC_offline := $(call find_c,offline)
SRC_shard_all := $(call find_c,shard)
SRC_cli_all := $(call find_c,client/cli)
SRC_library := $(filter-out $(SRC_cli_all),$(call find_c,client))
SRC_bench_engine := $(call find_c,bench/engine)
SRC_bench_all := $(filter-out $(SRC_bench_engine),$(call find_c,bench))
MAINS := $(call with_main,$(SRC_shard_all) $(SRC_cli_all) $(SRC_bench_all))
SRC_shard := $(filter-out $(MAINS),$(SRC_shard_all))
SRC_cli := $(filter-out $(MAINS),$(SRC_cli_all))
SRC_client := $(SRC_library) $(SRC_cli)
SRC_bench := $(filter-out $(MAINS),$(SRC_bench_all))
SRC_process := $(call find_c,test/process)
SRC_unit := $(filter-out $(SRC_process),$(foreach f,$(FOLDERS),$(sort $(shell find test/$(f) -name '*.c' 2>/dev/null))))
SRC_sim_server := $(SRC_core) $(call find_c,reactor/sim) $(SRC_engine) $(SRC_wire) $(SRC_shard)
SRC_sim_main := $(wildcard test/sim/main.c)
SRC_sim := $(filter-out $(SRC_sim_main),$(call find_c,test/sim))
SIM_OBJECTS = $(call objects,$(SRC_sim_main) $(filter-out %_test.c %_script.c,$(SRC_sim)) $(SRC_sim_server))
# Unit tests that use nothing but reactor.h: both backends pass them.
SRC_sim_both := $(patsubst %,test/reactor/%_test.c,cores file socket task) $(patsubst %,test/engine/%_test.c,cache compaction restore snapshot \
	cursor cursor_damage disk engine engine_damage engine_deadline engine_settings entry filter loss memtable merge pace removal reshard rot row_cache scrub table table_cursor table_damage \
	copy manifest_format table_expiry table_format table_visit \
	values values_ahead values_format values_visit) \
	$(patsubst %,test/engine/%.c,damage engine_rig shard_rig) test/offline/check_test.c
# tools/sabotage asks for it, too.
SIM_TEST_OBJECTS = $(call objects,test/main.c $(SRC_sim) $(SRC_sim_both) $(SRC_offline) $(SRC_sim_server))
# A parser is fuzzed by test/fuzz/NAME_fuzz.c; replay.c has the main that runs the corpus, libfuzzer.c is for libFuzzer's.
SRC_fuzz_shared := $(filter-out test/fuzz/replay.c test/fuzz/libfuzzer.c,$(call find_c,test/fuzz)) $(SRC_sim_server) $(SRC_offline) $(SRC_client)
FUZZ_TARGETS := $(patsubst test/fuzz/%_fuzz.c,%,$(wildcard test/fuzz/*_fuzz.c))
SRC_examples := $(wildcard examples/*.c)

objects = $(patsubst %,$(OUT)/obj/%.o,$(basename $(1)))
pic_objects = $(patsubst %,$(OUT)/obj/pic/%.o,$(basename $(1)))

SERVER := $(OUT)/obj/server.a
LIBRARY := $(OUT)/libtorc.a
SHARED := $(OUT)/libtorc.so
BENCH_PROGRAMS := $(patsubst %.c,$(OUT)/%,$(notdir $(filter bench/%,$(MAINS))))
# Harnesses that look into the engine: for people who change it, so they are not installed.
HARNESSES := $(if $(filter release clang,$(VARIANT)),$(OUT)/instructions $(OUT)/engine-bench)
EXAMPLE_PROGRAMS := $(patsubst examples/%.c,$(OUT)/examples/%,$(SRC_examples))
PROGRAMS := $(if $(filter shard/torcd.c,$(MAINS)),$(OUT)/torcd) $(if $(filter client/cli/%,$(MAINS)),$(OUT)/torc) \
	$(BENCH_PROGRAMS)
LIBRARIES := $(LIBRARY) $(if $(filter release clang debug,$(VARIANT)),$(SHARED))
UNIT := $(OUT)/test/unit
SIM_PROGRAM := $(if $(SIM_OUT),$(if $(SRC_sim_main),$(SIM_OUT)/sim))
SIM_TEST := $(if $(SIM_OUT),$(SIM_OUT)/test/sim)
FUZZ_TEST := $(if $(SIM_TEST),$(if $(FUZZ_TARGETS),$(SIM_OUT)/test/fuzz))
FUZZ_PROGRAMS := $(patsubst %,$(OUT)/%,$(FUZZ_TARGETS))
TESTS := $(UNIT) $(if $(SRC_process),$(OUT)/test/process) $(SIM_TEST) $(FUZZ_TEST)

.DEFAULT_GOAL := all
.PHONY: all programs tests simulator sim-objects sim-unit sim sim-long sabotage fuzz fuzz-smoke fuzz-programs coverage run test unit bench deps deps-bench deps-ci debug asan tsan lint format install clean docs
.DELETE_ON_ERROR:
.SUFFIXES:

all: programs $(HARNESSES) $(EXAMPLE_PROGRAMS)
programs: $(PROGRAMS) $(LIBRARIES)
tests: $(TESTS)

# ---- rules ----

# Changes when the command to compile or link does, so that all objects depend on it.
$(OUT)/obj/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(COMPILE)' '$(LINK)' '$(REACTOR)' | cmp -s - $@ || printf '%s\n' '$(COMPILE)' '$(LINK)' '$(REACTOR)' > $@
FORCE:

$(OUT)/obj/pic/%.o: %.c $(OUT)/obj/flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(COMPILE) -fPIC -fvisibility=hidden -c -o $@ $<
$(OUT)/obj/%.o: %.c $(OUT)/obj/flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(COMPILE) -fPIE -c -o $@ $<
$(OUT)/obj/%.o: %.S $(OUT)/obj/flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(COMPILE) -fPIE -c -o $@ $<

$(OUT)/obj/reactor/base/checksum_avx2.o $(OUT)/obj/pic/reactor/base/checksum_avx2.o: COMPILE += $(CFLAGS_AVX2)

# An archive is written anew, so that a file that was removed leaves it too; its list of members is a dependency.
define archive
	@mkdir -p $(@D)
	@rm -f $@
	$(call say,AR)
	$(Q)ar qcs $@ $(filter %.o,$^)
endef
$(OUT)/obj/lists: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(SRC_shard_all)' '$(SRC_engine)' '$(SRC_wire)' '$(SRC_reactor)' '$(SRC_offline)' '$(SRC_client)' '$(SRC_bench_all)' '$(SRC_bench_engine)' \
		'$(SRC_unit)' '$(SRC_process)' '$(SRC_sim)' '$(SRC_sim_server)' \
		'$(SRC_fuzz_shared)' > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

$(SERVER): $(call objects,$(SRC_shard) $(SRC_engine) $(SRC_wire) $(SRC_reactor)) $(OUT)/obj/lists
	$(archive)
$(LIBRARY): $(call objects,$(SRC_library) $(SRC_wire) $(SRC_base)) $(OUT)/obj/lists
	$(archive)

# The version script keeps everything but torc_* inside.
$(SHARED): $(call pic_objects,$(SRC_library) $(SRC_wire) $(SRC_base)) tools/libtorc.map $(OUT)/obj/lists
	$(call say,LINK)
	$(Q)$(CC) -shared -o $@ $(filter %.o,$^) -Wl,-soname,libtorc.so.$(SONAME_VERSION) \
		-Wl,--version-script=tools/libtorc.map -Wl,-z,defs $(LDFLAGS_OURS) $(LDFLAGS_VARIANT) $(LDFLAGS) -lxxhash -lpthread

$(OUT)/torcd: $(call objects,shard/torcd.c $(SRC_shard) $(SRC_engine) $(SRC_wire) $(SRC_reactor)) $(OUT)/obj/lists
	$(call say,LINK)
	$(Q)$(LINK) -o $@ $(filter %.o,$^) $(LIBS)
# Its offline commands look into data directories: with engine and reactor, without a server.
$(OUT)/torc: $(call objects,$(SRC_cli_all) $(SRC_offline)) $(LIBRARY) $(SERVER)
	$(call say,LINK)
	$(Q)$(LINK) -o $@ $^ $(LIBS)
$(BENCH_PROGRAMS): $(OUT)/%: $(OUT)/obj/bench/%.o $(call objects,$(SRC_bench)) $(LIBRARY) $(SERVER)
	$(call say,LINK)
	$(Q)$(LINK) -o $@ $^ $(LIBS)
# Without marks, as what is released, and on the simulated reactor: the same instructions in every run.
$(OUT)/instructions: $(call objects,$(filter-out bench/engine/engine_bench%,$(SRC_bench_engine)) $(SRC_core) \
		$(call find_c,reactor/sim) $(SRC_engine) $(SRC_wire)) $(OUT)/obj/lists
	$(call say,LINK)
	$(Q)$(LINK) -o $@ $(filter %.o,$^) $(LIBS)
$(OUT)/engine-bench: $(call objects,$(filter-out bench/engine/instructions%,$(SRC_bench_engine)) $(SRC_engine) $(SRC_reactor)) \
		$(OUT)/obj/lists
	$(call say,LINK)
	$(Q)$(LINK) -o $@ $(filter %.o,$^) $(LIBS)
$(EXAMPLE_PROGRAMS): $(OUT)/examples/%: $(OUT)/obj/examples/%.o $(LIBRARY)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(LINK) -o $@ $^ $(LIBS)

UNIT_SOURCES := test/main.c $(SRC_unit) $(foreach f,$(filter-out reactor,$(FOLDERS)),$(SRC_$(f))) $(SRC_reactor)
$(UNIT): $(call objects,$(UNIT_SOURCES)) $(OUT)/obj/lists
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(LINK) -o $@ $(filter %.o,$^) $(LIBS)
$(OUT)/test/process: $(call objects,test/main.c $(SRC_process)) $(LIBRARY) $(SERVER) $(OUT)/obj/lists
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(LINK) -o $@ $(filter %.o %.a,$^) $(LIBS)

ifeq ($(VARIANT),release)
simulator sim-objects:
	@$(MAKE) --no-print-directory VARIANT=sim $@
$(SIM_PROGRAM) $(SIM_TEST) $(FUZZ_TEST): simulator ;
else
.DEFAULT_GOAL := $(if $(filter sim,$(VARIANT)),simulator,all)
simulator: $(SIM_PROGRAM) $(SIM_TEST) $(FUZZ_TEST)
sim-objects: $(call objects,$(SRC_sim_server))
$(SIM_PROGRAM): $(SIM_OBJECTS) $(OUT)/obj/lists
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(LINK) -o $@ $(filter %.o,$^) $(LIBS)
$(SIM_TEST): $(SIM_TEST_OBJECTS) $(OUT)/obj/lists
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(LINK) -o $@ $(filter %.o,$^) $(LIBS)
$(FUZZ_TEST): $(call objects,test/fuzz/replay.c $(SRC_fuzz_shared)) $(OUT)/obj/lists
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(LINK) -o $@ $(filter %.o,$^) $(LIBS)
endif

ifeq ($(VARIANT),fuzz)
fuzz-programs: $(FUZZ_PROGRAMS)
$(OUT)/obj/libfuzzer/%.o: test/fuzz/libfuzzer.c $(OUT)/obj/flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(COMPILE) -DFUZZ_TARGET=$* -fPIE -c -o $@ $<
$(FUZZ_PROGRAMS): $(OUT)/%: $(OUT)/obj/libfuzzer/%.o $(call objects,$(SRC_fuzz_shared)) $(OUT)/obj/lists
	$(call say,LINK)
	$(Q)$(LINK) -o $@ $(filter %.o,$^) $(LIBS)
endif

-include $(shell find $(OUT)/obj -name '*.d' 2>/dev/null)

# ---- what people call ----

run: deps
	@$(MAKE) --no-print-directory $(PARALLEL) all
	$(OUT)/torcd --data ./data --listen 127.0.0.1:7070 --cores 1

test: deps
	@$(MAKE) --no-print-directory $(PARALLEL) all tests
	@tools/run-tests lint-self-test='tools/lint.py --self-test' lint='$(MAKE) --no-print-directory lint' $(TESTS)

# Runs only what TEST names: make unit TEST=wal
unit: $(UNIT)
	$(UNIT) $(TEST)
# Many seeds and every crash point, as CI runs them; sim-long goes on with new seeds for SECONDS.
# What so many seeds must come to at least.
SIM_LEAST = $(shell [ $(or $(SEEDS),2000) -ge 2000 ] 2>/dev/null && echo --operations-min 1000000 --corruptions-min 50000)
# With few classes of faults at a time: where all are on some hide others.
SIM_FOCI := engine+bit-rot+bad-sector+write-error+power-loss engine+misdirected-write+lost-write+power-loss \
	engine+sync-error+dropped-write+dropped-name+power-loss engine+disk-full+write-error+kill \
	engine+bad-sector+read-error+kill engine+disk-rollback+power-loss engine+no-descriptors+kill \
	engine+no-read-memory+power-loss \
	server+stuck-disk+slow-disk+kill server+network-stall+network-reset+network-segment+channel-full
sim: simulator
	@build/sim --seeds $(or $(SEEDS),2000) --require-all $(SIM_LEAST)
	@for focus in $(SIM_FOCI); do \
		said=$$(build/sim --seeds 500 --kind $$(echo $$focus | sed 's/+/ --only /g') 2>&1) \
			|| { echo "$$said"; exit 1; }; echo "$$focus: $$(echo "$$said" | tail -n 1)"; done
	@build/sim --crash-points
sim-long: simulator
	@build/sim --seconds $(or $(SECONDS),3600) --seeds $(or $(FROM),100001)..999999999
# Puts one fault at a time into torc: the simulator must find each (test/sim/sabotages). NAMES="stale_rows" for some.
sabotage: simulator
	@tools/sabotage $(NAMES)
print-%:
	@printf '%s\n' '$($*)'
sim-unit: simulator
	$(if $(SIM_TEST),$(SIM_TEST) $(TEST))

# Every target, or TARGET, for SECONDS each; what is new goes to build/fuzz/corpus, what fails to build/fuzz/found.
fuzz fuzz-smoke: deps
	@tools/install-packages fuzz
	@$(MAKE) --no-print-directory $(PARALLEL) CC=clang VARIANT=fuzz fuzz-programs
	@tools/fuzz --seconds $(or $(SECONDS),$(if $(filter fuzz,$@),60,10)) --jobs $(if $(filter fuzz,$@),1,2) \
		$(or $(TARGET),$(FUZZ_TARGETS))

# Which branches the tests take; fails when it is less than COVERAGE_MIN percent of engine/.
COVERAGE_SEEDS := 60
coverage: deps
	@$(MAKE) --no-print-directory $(PARALLEL) VARIANT=coverage tests simulator
	@find build/coverage/obj -name '*.gcda' -delete
	@for run in test/unit test/sim test/fuzz 'sim --seeds $(COVERAGE_SEEDS)'; do \
		log=build/coverage/$$(echo "$${run%% *}" | tr / -).log; \
		build/coverage/$$run > $$log 2>&1 || { tail -n 5 $$log; echo "build/coverage/$$run failed: $$log"; exit 1; }; done
	@tools/coverage --objects build/coverage/obj --limit $(or $(COVERAGE_MIN),90)

bench: deps deps-bench
	@$(MAKE) --no-print-directory $(PARALLEL) programs
	@if [ -x bench/run ]; then bench/run; else echo "bench/run is missing: nothing to compare with" >&2; exit 1; fi

debug:
	@$(MAKE) --no-print-directory $(PARALLEL) VARIANT=debug all tests
asan tsan:
	@$(MAKE) --no-print-directory $(PARALLEL) VARIANT=$@ programs tests
	@$(MAKE) --no-print-directory VARIANT=$@ unit sim-unit

deps:
	@tools/install-packages build
deps-bench:
	@tools/install-packages bench
deps-ci:
	@tools/install-packages ci

# PATHS="engine wire" shows only the findings there.
lint: $(SERVER) sim-objects
	@$(PYTHON) tools/lint.py --objects $(OUT)/obj --objects build/simulator/obj $(PATHS)
	@if [ -x $(OUT)/torcd ] && [ -z "$(PATHS)" ]; then tools/docs --check $(OUT)/torcd; fi
format:
	@find $(FOLDERS) test examples -name '*.[ch]' 2>/dev/null | xargs $$(command -v clang-format-14 || echo clang-format) -i
docs: $(OUT)/torcd
	@tools/docs $(OUT)/torcd

INSTALL_LIB := $(DESTDIR)$(PREFIX)/lib
install: programs
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/include $(INSTALL_LIB)/pkgconfig \
		$(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/doc/torc
	install -m 755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin/
	install -m 644 client/torc.h $(DESTDIR)$(PREFIX)/include/
	install -m 644 $(LIBRARY) $(INSTALL_LIB)/
	install -m 755 $(SHARED) $(INSTALL_LIB)/libtorc.so.$(VERSION)
	ln -sf libtorc.so.$(VERSION) $(INSTALL_LIB)/libtorc.so.$(SONAME_VERSION)
	ln -sf libtorc.so.$(SONAME_VERSION) $(INSTALL_LIB)/libtorc.so
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' tools/torc.pc.in > $(INSTALL_LIB)/pkgconfig/torc.pc
	install -m 644 $(wildcard docs/*.1) $(DESTDIR)$(PREFIX)/share/man/man1/
	install -m 644 LICENSE docs/torc.conf.sample $(DESTDIR)$(PREFIX)/share/doc/torc/

clean:
	rm -rf build
