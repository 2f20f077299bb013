#!/bin/bash
# J01 J08 F25 F32: what lands in the output, with which rights, under which names.
. "$ROOT/tests/cli/input/lib.sh"
tiny src

# J01: pickles and code beside the shards are neither opened nor copied
fresh x
for name in pytorch_model.bin model.PT weights.pth optimizer.pkl x.Pickle last.ckpt old.gguf modeling_deepseek.py; do echo 'secret' >x/$name; done
mkdir -p x/inference && echo 'print(1)' >x/inference/model.py
if command -v strace >/dev/null && [ ! "$sanitized" ]; then
    strace -f -e trace=open,openat -o trace "$RECAST" convert x y --to fp8 >out 2>err || fail 'convert beside pickles'
    if grep -E 'pytorch_model|model\.PT|weights\.pth|optimizer|x\.Pickle|last\.ckpt|old\.gguf|modeling' trace; then fail 'a pickle was opened'; fi
else
    expect 0 recast convert x y --to fp8
fi
says err 'warning: pytorch_model.bin: not copied'
[ -z "$(find y -iname '*.bin' -o -iname '*.pt' -o -iname '*.pth' -o -iname '*.pkl' -o -iname '*.pickle' -o -iname '*.ckpt' -o -iname '*.gguf' -o -name 'modeling*')" ] || fail 'a pickle was copied'
cmp x/inference/model.py y/inference/model.py || fail 'inference/'
cmp x/encoding/README.md y/encoding/README.md || fail 'encoding/'
expect 0 recast verify x y
rm -rf b && mkdir b && cp src/config.json b && echo x >b/pytorch_model.bin
refuses 69 b 'pytorch_model.bin' '^recast: hint: .*pickled files are never opened'
# J08: a side file has its limit
fresh x && truncate -s 257M x/huge.json
rm -rf y && expect 0 recast convert x y --to fp8
says err 'warning: huge.json: not copied .too large'
[ ! -e y/huge.json ] || fail 'copied all the same'
# hidden files stay where they are
fresh x && echo token >x/.netrc && mkdir x/.git && echo x >x/.git/config
rm -rf y && expect 0 recast convert x y --to fp8
[ ! -e y/.netrc ] && [ ! -e y/.git ] || fail 'hidden files were copied'

# B28: a chat template is text, whatever it says; it is copied, never shown or run
fresh x && printf '{"chat_template": "{{ %s }} \033]0;owned\007"}' "$(zeros 100000 | tr '\0' t)" >x/chat_template.json
rm -rf y && expect 0 recast convert x y --to fp8
cmp x/chat_template.json y/chat_template.json || fail 'template'
if grep -q owned out err; then fail 'template was shown'; fi
# J02: the program can start no other program and load no library
if command -v nm >/dev/null && [ ! "$sanitized" ]; then
    nm -D "$RECAST" >symbols
    if grep -wE 'system|popen|dlopen|exec[lv]p?e?|posix_spawnp?|fork' symbols; then fail 'a call that runs something'; fi
fi
# F26: links that wait in the output folder are not written through
for name in model-00001-of-00008.safetensors.partial .recast.lock recast.jsonl.partial recast.jsonl recast.journal \
    config.json config.json.partial model.safetensors.index.json tokenizer.json recast.json encoding; do
    rm -rf y victim && mkdir y
    case $name in encoding) mkdir victim ;; *) echo keep >victim ;; esac
    ln -s ../victim "y/$name"
    recast convert src y --to fp8 --force >out 2>err
    case $? in
    0) [ ! -L "y/$name" ] || fail "$name is a link in the result" ;;
    73) one_line 73 "$name: .*" ;;
    *) cat err; fail "a link named $name" ;;
    esac
    [ -z "$(find victim -mindepth 1)" ] || fail "$name: written through a link"
    [ -d victim ] || [ "$(cat victim)" = keep ] || fail "$name: written through a link"
done

# F25: rights follow the umask of the run
for mask in 000 022 077; do
    rm -rf y
    (umask $mask && exec "$RECAST" convert src y --to fp8 --quiet) || fail "umask $mask"
    case $mask in 000) f=666 d=777 ;; 022) f=644 d=755 ;; *) f=600 d=700 ;; esac
    bad=$(find y -type f ! -name .recast.lock ! -perm $f -o -type d ! -perm $d)
    [ -z "$bad" ] || { find y -printf '%m %p\n' | sort | head; fail "umask $mask"; }
done

# F32: names of any bytes and any length
expect 0 recast convert src plain --to fp8
# shellcheck disable=SC2016
for name in 'with space' $'new\nline' $'bad\xff\xfe' '%n%s' "q'uo\"te" '$(touch owned)' ünïcode; do
    cp -al src "$name"
    expect 0 recast inspect "$name"
    expect 0 recast convert "$name" "$name.out" --to fp8
    same plain "$name.out"
    expect 0 recast verify "$name" "$name.out" --json report.json --junit report.xml
    jq -e . report.json >jq.out || fail "$name: the report is no JSON"
done
[ ! -e owned ] || fail 'a name was run'
long=$(zeros 255 | tr '\0' n)
expect 0 recast convert src "$long" --to fp8
same plain "$long"
expect 73 recast convert src "${long}n" --to fp8
# a path beyond PATH_MAX is refused clearly, or works from where it is
here=$PWD
for _ in $(seq 17); do mkdir "$long.d" 2>/dev/null || mkdir "${long:2}.d"; cd "${long:2}.d" || exit 1; done
recast convert "$here/src" here --to fp8 >"$here/out" 2>"$here/err"
status=$?
cd "$here" || exit 1
case $status in
0) ;;
73) one_line 73 ;;
*) cat err; fail "a deep folder gave $status" ;;
esac
deep=$(for _ in $(seq 30); do printf '%s/' "$long"; done)
expect 73 recast convert src "$deep/x" --to fp8
for c in inspect "verify src"; do
    # shellcheck disable=SC2086
    expect 66 recast $c "$deep/x"
done
