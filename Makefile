# recast - `make help` lists the targets. Everything is built under build/.
#
#   BUILD=release|debug|asan|tsan|fuzz   flavour, each in its own folder (default: release)
#   CC, CFLAGS, LDFLAGS, PREFIX, DESTDIR  as usual;  V=1 shows the commands

BUILD  ?= release
PREFIX ?= /usr/local
CC     := $(if $(filter default,$(origin CC)),gcc,$(CC))
O      := build/$(BUILD)
Q      := $(if $(V),,@)
PYTHON ?= python3

VERSION := 0.1.0
PKGS    := yajl libxxhash libpcre2-8 libzstd libcurl libcrypto
PKG_CONFIG ?= pkg-config

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wvla \
        -Wmissing-prototypes -Wundef -Wwrite-strings
SAN_asan := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
SAN_tsan := -fsanitize=thread
CFLAGS_release := -O2 -g -D_FORTIFY_SOURCE=2 -fstack-protector-strong
CFLAGS_debug   := -O0 -g
CFLAGS_asan    := -O1 -g $(SAN_asan)
CFLAGS_tsan    := -O1 -g $(SAN_tsan)
CFLAGS_fuzz    := -O1 -g -fsanitize=fuzzer-no-link $(SAN_asan)
ifeq ($(BUILD),fuzz)
CC := clang
endif

# The thread sanitizer knows nothing of OpenMP's runtime, and clang's is one more package:
# there the loops run on one thread.
OMP := $(if $(filter tsan fuzz,$(BUILD)),-Wno-unknown-pragmas,-fopenmp)

pkg_cflags := $(shell $(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null)
pkg_libs   := $(or $(shell $(PKG_CONFIG) --libs $(PKGS) 2>/dev/null),-lyajl -lxxhash -lpcre2-8 -lzstd -lcurl -lcrypto)

# -ffp-contract=off: a fused multiply-add appears only where the source says fma().
ALL_CFLAGS = -std=c11 -D_POSIX_C_SOURCE=200809L -D_FILE_OFFSET_BITS=64 \
             -DRC_VERSION='"$(VERSION)"' -I. $(WARN) -ffp-contract=off -pthread \
             $(CFLAGS_$(BUILD)) $(OMP) $(pkg_cflags) $(isa_flags) $(CFLAGS)
ALL_LDFLAGS = -pthread $(OMP) $(SAN_$(if $(filter fuzz,$(BUILD)),asan,$(BUILD))) $(LDFLAGS)
LIBS := $(pkg_libs) -lunistring -lblis -lm

LIB_DIRS := formats/base formats kernels quantize runtime convert verify
LIB_SRC  := $(sort $(filter-out %/cmd_%,$(wildcard $(addsuffix /*.c,$(LIB_DIRS)))))
CMD_SRC  := recast.c $(sort $(wildcard $(addsuffix /cmd_*.c,$(LIB_DIRS))))
LIB_OBJ  := $(LIB_SRC:%.c=$(O)/%.o)
CMD_OBJ  := $(CMD_SRC:%.c=$(O)/%.o)
UNIT_SRC := $(sort $(wildcard tests/unit/test_*.c))
CHECK_SRC := $(sort $(wildcard tests/check/*.c))
BENCH_SRC := $(sort $(wildcard tests/bench/*.c))
FUZZ_SRC := $(sort $(wildcard tests/fuzz/fuzz_*.c))
UNIT_BIN := $(UNIT_SRC:%.c=$(O)/%)
FUZZ_BIN := $(FUZZ_SRC:%.c=$(O)/%)

.DEFAULT_GOAL := all
.PHONY: all lib test unit check cli fuzz-replay asan tsan fuzz bench lint install demo deps oracle help clean FORCE

all: $(O)/recast ## Build the program (build/recast) and librecast.a
	@mkdir -p build && ln -sfn $(BUILD)/recast build/recast && ln -sfn $(BUILD)/librecast.a build/librecast.a

lib: $(O)/librecast.a

# A file's suffix names its instruction set: one place decides its flags.
$(O)/%_avx2.o:   isa_flags := -mavx2 -mfma -mf16c
$(O)/%_avx512bf16.o: isa_flags := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vbmi -mavx512bf16 -mavx2 -mfma -mf16c
$(O)/%_avx512.o: isa_flags := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vbmi -mavx2 -mfma -mf16c

# What the assembler takes in is in no .d file.
$(O)/formats/chat_template.o: formats/chat_template.jinja
$(O)/verify/report_html.o: verify/report.css
$(O)/runtime/calibration_text.o: $(wildcard runtime/calibration_text/*) runtime/plain_attention.c \
    runtime/plain_experts.c kernels/pairs_avx2.c scripts/train-sample scripts/test docs/reliability.md

# Changing a flag rebuilds what it touches.
$(O)/flags: FORCE
	@mkdir -p $(O)
	@echo '$(subst ','\'',$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS))' | cmp -s - $@ || echo '$(subst ','\'',$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS))' > $@

$(O)/%.o: %.c $(O)/flags
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC      $<")
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(O)/librecast.a: $(LIB_OBJ)
	$(if $(V),,@echo "  AR      $@")
	$(Q)rm -f $@ && ar rcs $@ $^

$(O)/recast: $(CMD_OBJ) $(O)/librecast.a
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(CMD_OBJ) $(O)/librecast.a $(LIBS)

$(UNIT_BIN): $(O)/%: $(O)/%.o $(O)/librecast.a
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $< $(O)/librecast.a -lcmocka $(LIBS)

$(O)/tests/check/check: $(CHECK_SRC:%.c=$(O)/%.o) $(O)/librecast.a
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(O)/tests/bench/bench: $(BENCH_SRC:%.c=$(O)/%.o) $(O)/librecast.a
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

# A fuzz target is built with libFuzzer (BUILD=fuzz) or, everywhere else, with a
# main() that replays files: the seeds are then ordinary tests.
ifeq ($(BUILD),fuzz)
$(FUZZ_BIN): $(O)/%: $(O)/%.o $(O)/librecast.a
	$(Q)$(CC) -fsanitize=fuzzer $(ALL_LDFLAGS) -o $@ $^ $(LIBS)
else
$(FUZZ_BIN): $(O)/%: $(O)/%.o $(O)/tests/fuzz/replay.o $(O)/librecast.a
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)
endif

# Preloaded by the fault tests: never sanitized, the program's own runtime may be.
$(O)/tests/cli/fault.so: tests/cli/fault.c
	@mkdir -p $(@D)
	$(Q)$(CC) -std=c11 -O2 -Wall -Wextra -fPIC -shared -pthread -o $@ $< -ldl

# They make checkpoints for verify to judge (damaged in known ways, in the layouts of others) and
# statistics for convert; int4 lets oracles at the arithmetic.
TOOLS := $(addprefix $(O)/tests/cli/,sabotage repack int4 statistics)
$(TOOLS): $(O)/%: $(O)/%.o $(O)/librecast.a
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $< $(O)/librecast.a $(LIBS)

test: all $(UNIT_BIN) $(O)/tests/check/check $(FUZZ_BIN) $(O)/tests/cli/fault.so $(TOOLS) ## Run every test (no network, no GPU; python3 for tests/cli/hub)
	$(Q)O=$(O) scripts/test

asan: ## Run the tests under address and undefined-behaviour sanitizers
	$(Q)$(MAKE) --no-print-directory BUILD=asan test

tsan: ## Run the tests under the thread sanitizer
	$(Q)$(MAKE) --no-print-directory BUILD=tsan test

fuzz: ## Fuzz each parser (FUZZ_SECONDS=60 each); needs clang
	$(Q)$(MAKE) --no-print-directory BUILD=fuzz fuzz-run
fuzz-run: $(FUZZ_BIN)
	$(Q)O=$(O) scripts/fuzz

bench: all $(O)/tests/bench/bench ## Measure kernels and whole conversions as ratios to this machine's limits
	$(Q)O=$(O) scripts/bench

lint: ## Check formatting, layering, headers, static analysis and shell scripts
	$(Q)CC='$(CC)' scripts/lint

oracle: all $(TOOLS) ## Compare with safetensors, numpy and ml_dtypes (makes a virtual environment)
	$(Q)PYTHON='$(PYTHON)' RECAST=$(O)/recast scripts/oracle || [ $$? -eq 77 ]

demo: all ## Make a sample checkpoint, convert it to FP8 and print the verdict
	$(Q)scripts/demo

deps: ## Install the Debian packages that the project needs (root)
	$(Q)scripts/setup

install: all ## Install the program, library and headers under PREFIX
	install -D -m 755 $(O)/recast $(DESTDIR)$(PREFIX)/bin/recast
	install -D -m 644 $(O)/librecast.a $(DESTDIR)$(PREFIX)/lib/librecast.a
	for h in formats/base/*.h formats/*.h kernels/*.h quantize/*.h runtime/*.h convert/*.h verify/*.h; do \
	  install -D -m 644 $$h $(DESTDIR)$(PREFIX)/include/recast/$$h; done

clean: ## Remove everything that was built
	rm -rf build

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 12

-include $(shell find $(O) -name '*.d' 2>/dev/null)
