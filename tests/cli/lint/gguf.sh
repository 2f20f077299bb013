#!/bin/bash
# What lint says of GGUF files, for llama.cpp and ds4: our own outputs pass, each trap is found by
# its rule. With LLAMA_SIMPLE=.../llama-simple each small file is also given to llama.cpp itself,
# which must load what lint lets pass and refuse what fails; with DS4=.../ds4 that must refuse each
# spoilt file of the true sizes, too. Both are absolute paths.
# shellcheck disable=SC2016,SC2119
. "$ROOT/tests/cli/lint/lib.sh"
tiny src
: >tripped

# asks FILE yes|no: does llama.cpp load it? (no: nobody asked it)
asks() {
    local got=no
    [ "${LLAMA_SIMPLE:-}" ] || return 0
    timeout 60 "$LLAMA_SIMPLE" -m "$1" -n 1 hello >llama.log 2>&1 && got=yes
    [ $got = "$2" ] || { tail -n 5 llama.log; fail "llama.cpp loads $1: $got"; }
}
# llama RULE VERDICT FILE: for llama.cpp; what fails is refused, the rest loads
llama() {
    finds "llama.cpp/$1" "$2" "$3"
    if [ "$2" = fails ]; then asks "$3" no; else asks "$3" yes; fi
}
# garbage RULE FILE: fails although llama.cpp loads it
garbage() {
    finds "llama.cpp/$1" fails "$2"
    asks "$2" yes
}

bytes() { le64 "$1" | head -c "$2" | od -An -v -tx1 | tr -d '\n' | sed 's/ /\\x/g'; }
# at FILE PERL_PATTERN: offset of its first match in the head of the file
at() {
    local off
    off=$(head -c "${head_bytes:-1M}" "$1" | LC_ALL=C grep -obUaP -- "$2" | head -n 1 | cut -d: -f1)
    [ "$off" ] || fail "$2 is not in $1"
    echo "$off"
}
escaped() { echo "${1//./\\.}"; }
# put FILE OFFSET BYTES: in place
put() { printf '%b' "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }
# value_at FILE KEY TYPE: offset of the value of a key of that type
value_at() { echo $(($(at "$1" "$(escaped "$2")$(bytes "$3" 4)") + ${#2} + 4)); }
# set_u32 FILE KEY VALUE
set_u32() { put "$1" "$(value_at "$1" "$2" 4)" "$(bytes "$3" 4)"; }
# rename FILE NAME TYPE NEW: a key (TYPE is the type of its value) or a tensor (TYPE is its rank)
rename() {
    [ ${#2} -eq ${#4} ] || fail "$2 and $4 differ in length"
    put "$1" "$(at "$1" "$(escaped "$2")$(bytes "$3" 4)")" "$4"
}
# retype FILE TENSOR RANK TYPE
retype() { put "$1" $(($(at "$1" "$(escaped "$2")$(bytes "$3" 4)") + ${#2} + 4 + 8 * $3)) "$(bytes "$4" 4)"; }
# turn FILE TENSOR DIM0 DIM1: give a matrix other sides
turn() { put "$1" $(($(at "$1" "$(escaped "$2")$(bytes 2 4)") + ${#2} + 4)) "$(bytes "$3" 8)$(bytes "$4" 8)"; }

# ------------------------------------------------------------------ our own outputs
expect 0 recast convert src t.gguf --to gguf --quiet
expect 0 recast convert src e.gguf --to gguf --draft embed --quiet
for recipe in mxfp4-bf16 q8_0 bf16 f16 q4_k q2_k; do
    expect 0 recast convert src r.gguf --to gguf:$recipe --draft drop --quiet --force
    accepted llama.cpp r.gguf
    asks r.gguf yes
done
accepted llama.cpp t.gguf
asks t.gguf yes
accepted llama.cpp e.gguf
asks e.gguf yes
accepted llama.cpp mtp-t.gguf
says out 'accepts'
llama draft note e.gguf
expect 0 recast convert src s.gguf --to gguf --split-size 3MB --draft drop --quiet
accepted llama.cpp s-00001-of-*.gguf
asks s-00001-of-*.gguf yes
expect 0 recast lint t.gguf
says out '^llama.cpp accepts: ' '^ds4 +FAILS: '

# ------------------------------------------------------------------ llama.cpp
fresh() { cp --remove-destination t.gguf x.gguf; }
finds llama.cpp/container fails src; alone
last=$(printf '%s\n' s-*-of-*.gguf | tail -n 1)
cp "$last" kept
put "$last" "$(value_at "$last" split.no 2)" '\x00\x00'
llama split fails s-00001-of-*.gguf; alone
cp kept "$last"
put "$last" "$(value_at "$last" split.tensors.count 5)" '\x01\x00\x00\x00'
garbage split s-00001-of-*.gguf; alone # llama.cpp reads the first file's only
cp kept "$last"
cp s-00001-of-*.gguf one.gguf; llama split fails one.gguf
fresh; put x.gguf $(($(value_at x.gguf general.architecture 8) + 8)) deepseek3; llama architecture fails x.gguf

k=deepseek4.
for key in attention.q_lora_rank hash_layer_count hyper_connection.count expert_gating_func; do
    fresh; rename x.gguf $k$key 4 "$k${key%?}_"; llama keys fails x.gguf
    says found "key $k$key is missing"
done
fresh; put x.gguf $(($(value_at x.gguf ${k}attention.sliding_window 4) - 4)) '\x05'; llama keys fails x.gguf
says found 'of another type' '"want":"u32","got":"i32"'
fresh; put x.gguf $(($(value_at x.gguf ${k}attention.compress_ratios 9))) '\x06'; llama keys fails x.gguf
fresh; rename x.gguf ${k}attention.key_length 4 ${k}attention.key_lengt_; llama keys-defaulted fails x.gguf
fresh; rename x.gguf ${k}rope.dimension_count 4 ${k}rope.dimension_coun_; garbage keys-defaulted x.gguf
fresh; rename x.gguf ${k}rope.scaling.factor 6 ${k}rope.scaling.facto_; llama keys-defaulted warning x.gguf
fresh; rename x.gguf ${k}rope.scaling.type 8 ${k}rope.scaling.typ_; llama keys-defaulted warning x.gguf
fresh; set_u32 x.gguf ${k}block_count 4; llama list-length fails x.gguf
fresh; put x.gguf $(($(value_at x.gguf ${k}attention.compress_ratios 9) + 16)) '\x08'; llama compress-ratios fails x.gguf
fresh; set_u32 x.gguf ${k}block_count 7; llama compress-ratios fails x.gguf
fresh; set_u32 x.gguf ${k}expert_gating_func 2; llama gating fails x.gguf
fresh; set_u32 x.gguf ${k}hyper_connection.count 2; llama streams fails x.gguf

fresh; rename x.gguf blk.3.attn_norm.weight 1 blk.3.attn_nerm.weight
llama missing fails x.gguf
says found 'blk.3.attn_norm.weight'
llama extra fails x.gguf
says found 'blk.3.attn_nerm.weight'
fresh; turn x.gguf blk.1.ffn_gate_inp.weight 8 256; llama shapes fails x.gguf; alone
fresh; retype x.gguf blk.0.ffn_gate_tid2eid.weight 2 0; llama table-type fails x.gguf
fresh; retype x.gguf blk.2.attn_norm.weight 1 26; llama vector-type fails x.gguf
expect 0 recast convert src q.gguf --to gguf --draft drop --type 'blk.1.attn_q_a.weight=q4_0' --quiet
retype q.gguf blk.1.attn_q_a.weight 2 42; turn q.gguf blk.1.attn_q_a.weight 512 128
llama shapes fails q.gguf
finds llama.cpp/fork-types warning q.gguf
set_u32 q.gguf general.file_type 41; finds llama.cpp/fork-types fails q.gguf

cp e.gguf x.gguf; rename x.gguf blk.5.nextn.eh_proj.weight 2 blk.5.nextn.eh_prej.weight; llama draft fails x.gguf
says found 'announces a draft'
expect 0 recast convert src d.gguf --to gguf:ds4-q4 --quiet
accepted llama.cpp d.gguf
asks d.gguf yes
llama draft fails mtp-d.gguf
says found "ds4's drafts"

fresh; rename x.gguf tokenizer.ggml.merges 9 tokenizer.ggml.merge_; llama tokenizer fails x.gguf
fresh; put x.gguf $(($(value_at x.gguf tokenizer.ggml.pre 8) + 8)) joyai-lln; finds llama.cpp/tokenizer warning x.gguf
fresh; put x.gguf $(($(value_at x.gguf tokenizer.ggml.model 8) + 8)) gpt3; llama tokenizer fails x.gguf
fresh; turn x.gguf token_embd.weight 384 256; llama vocabulary fails x.gguf
fresh; rename x.gguf tokenizer.chat_template 8 tokenizer.chat_templat_; llama chat-template warning x.gguf

# ------------------------------------------------------------------ ds4: the true sizes, as holes
head_bytes=16M
if ! recast synth full --like flash --hollow --quiet 2>err || ! recast convert full f.gguf --to gguf:ds4-q2 --hollow --quiet 2>err; then
    cat err
    echo "needs room for holes"
    exit 77
fi
accepted ds4 f.gguf
accepted llama.cpp f.gguf
expect 0 recast synth spark --like flash-0731 --hollow --quiet
expect 0 recast convert spark p.gguf --to gguf --hollow --quiet
accepted llama.cpp p.gguf
finds llama.cpp/architecture note dspark-p.gguf
finds ds4/draft fails dspark-p.gguf
rm -rf spark ./*p.gguf
expect 0 recast lint mtp-f.gguf --for ds4
says out '^ds4 +accepts' 'note +ds4/draft'
expect 0 recast convert full g.gguf --to gguf:ds4-q4 --hollow --draft drop --quiet
accepted ds4 g.gguf
rm -f g.gguf
finds ds4/container fails full; alone
finds ds4/flash-shape fails t.gguf
finds ds4/expert-types fails t.gguf
says found '"got":"MXFP4"'
finds ds4/single-file fails s-00001-of-*.gguf
finds ds4/draft fails e.gguf
expect 0 recast convert full h.gguf --to gguf:ds4-q2 --hollow --draft drop --type 'blk.3.ffn_up_exps.weight=q2_k' --quiet
finds ds4/gate-up fails h.gguf; alone
rm -f h.gguf

# one file, its head put back after each case
head -c 16M f.gguf >head.kept
again() { dd if=head.kept of=f.gguf bs=1M conv=notrunc status=none; }
# ds4 RULE VERDICT: of f.gguf
ds4() {
    finds "ds4/$1" "$2" f.gguf
    if [ "${DS4:-}" ]; then
        timeout 30 "$DS4" --cpu -m f.gguf -p hi -n 1 -c 256 >ds4.log 2>&1
        [ $? -eq 1 ] || fail "ds4 took what $1 fails"
    fi
    again
}
rename f.gguf ${k}vocab_size 4 ${k}vocab_siz_; ds4 keys fails; alone
says found 'vocab_size is missing'
rename f.gguf ${k}rope.scaling.yarn_beta_fast 6 ${k}rope.scaling.yarn_beta_fas_; ds4 keys fails; alone
set_u32 f.gguf ${k}attention.indexer.top_k 256; ds4 flash-shape fails; alone
put f.gguf "$(value_at f.gguf ${k}rope.freq_base 6)" '\x00\x00\x80\x3f'; ds4 values fails; alone
put f.gguf $(($(value_at f.gguf ${k}attention.compress_ratios 9) + 12 + 4 * 3)) '\x04'; ds4 lists fails
put f.gguf $(($(value_at f.gguf ${k}swiglu_clamp_exp 9) + 12 + 4 * 3)) '\x00\x00\x80\x3f'; ds4 lists fails
rename f.gguf blk.7.attn_sinks.weight 1 blk.7.attn_sinka.weight; ds4 missing fails; alone
turn f.gguf blk.0.ffn_gate_inp.weight 256 4096; ds4 shapes fails; alone
retype f.gguf token_embd.weight 2 30; ds4 tensor-types fails; alone
says found '"want":"F16","got":"BF16"'
put f.gguf $(($(at f.gguf "$(bytes 7 8)<think>") + 8)) '<thinq>'; ds4 tokenizer fails; alone
turn f.gguf token_embd.weight 129280 4096; ds4 vocabulary fails
accepted ds4 f.gguf
all_tripped llama.cpp ds4
