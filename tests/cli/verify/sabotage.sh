#!/bin/bash
# Every case of tests/cli/sabotage.c is caught, and located by name: by the tensors (these parameters,
# and no other), by the config (this key, and no other), and by what the model then says.
#
# Some are done to a copy in BF16: channels are scaled, but not by all who have to take part. Others to copies
# whose experts are 4-bit integers, and so differ everywhere: bounds must name what was damaged, and an
# ablation find it among all that rounds.
#
#   SABOTAGE_TABLE=FILE   write the rows of the table in docs/sabotage.md there
. "$ROOT/tests/cli/lib.sh"
export OMP_WAIT_POLICY=passive
sample=$ROOT/tests/data/sample
tool=$ROOT/$O/tests/cli/sabotage
[ -x "$tool" ] || { echo 'sabotage is not built'; exit 77; }
head -c 760 "$sample/heldout.txt" >text # 229 tokens: past the window, and past what the indexer may choose

# Tensor by tensor: out.json. Sets `found`.
by_tensors() {
    local name=$1 shows=$2 damaged=$3 want got
    want=$(echo "$damaged" | tr , '\n' | sort)
    expect "$([ "$shows" = refused ] && echo 82 || echo 1)" recast verify "$sample" bad --json out.json
    got=$(jq -r '(.tensors[] | select(.exact | not) | .name),
                 (.findings[] | select(.level == "fault" and .topic == "config") |
                    "config:" + (.message | capture("^.(?<key>[^\u0027]*).").key))' out.json | sort)
    [ "$got" = "$want" ] || fail "$name: found '$got', want '$want'"
    found=$(jq -r '[.tensors[] | select(.exact | not)] | if . == [] then "config" else
                   "worst " + (map(.sqnr_db) | if any(. == null) then "none" else "\(min | round) dB" end) end' out.json)
    if [ "$of" = bf16 ]; then # and what is wrong with the scaling is said of them, and of no other
        got=$(jq -r '.findings[] | select(.topic == "scaling" and .level == "fault") | .tensor' out.json | sort)
        [ "$got" = "$want" ] || fail "$name: astray are '$got', want '$want'"
        jq -e --argjson n "$(echo "$want" | wc -l)" '.scaling.norms == 1 and .scaling.astray == $n' out.json >jq.out || fail "$name: scaling"
    fi
    case $shows:$damaged in
    refused:*) says err 'layers.0.ffn.gate.tid2eid: .*wrong shape' ;;
    *:config:*) says err "config.json: .*'${damaged#config:}' is not as in NATIVE" ;;
    *) says err "$(echo "$damaged" | tr , '|' | sed 's/\./\\./g')" ;;
    esac
}

# Both models on the text: no layer before `layer` differs by a bit, that one does, after the sublayer that
# `shows` names; and the damaged tensors win the divergence back. Sets `alone`.
by_behaviour() {
    local name=$1 layer=$2 shows=$3 damaged=$4 kl first
    [ "$shows" = refused ] && { expect 82 recast run bad -f text --logits bad.st --quiet; alone='- | - | -'; return; }
    expect 1 recast verify "$sample" bad --logits --text text --layers --ablate --json out.json
    kl=$(jq '.behaviour.kl.mean' out.json)
    first=$(jq -r '[.layers.at | to_entries[] | "\(.key) attn \(.value.attention.rel_err)", "\(.key) ffn \(.value.experts.rel_err)"]
                   | map(split(" ") | select((.[2] | tonumber) > 1e-6)) | if . == [] then "-" else .[0][:2] | join(" ") end' out.json)
    alone="$(shorter "$kl") | $first | $(blame "$damaged")"
    case $shows in
    attn | ffn)
        [ "$first" = "$layer $shows" ] || fail "$name: first seen in $first, want $layer $shows"
        jq -e "[.layers.at[:$layer][] | .attention.rel_err, .experts.rel_err] | all(. == 0)" out.json >jq.out ||
            fail "$name: a layer before $layer differs"
        ;;
    *) [ "$first" = - ] || fail "$name: first seen in $first" ;;
    esac
    case $shows in
    nothing) [ "$kl" = 0 ] || fail "$name: KL $kl, want 0" ;;
    rounding) less "$kl" 1e-10 || fail "$name: KL $kl" ;;
    *) less 1e-8 "$kl" && [ "$(blame "$damaged")" != - ] || fail "$name: KL $kl, blamed: $(jq -c .ablation out.json)" ;;
    esac
}
less() { awk "BEGIN { exit !($1 < $2) }"; }
shorter() { awk "BEGIN { printf \"%.2g\", $1 }"; }

# blame DAMAGED: the group that out.json blames, when it names what was damaged and nothing else before it;
# else "-"
blame() {
    jq -r --arg damaged "$1" '.ablation | if .blamed == null then "-" else .groups[.blamed] |
        if .label == "config.json" then (if ($damaged | startswith("config:")) then .label else "-" end)
        elif .tensors[0] as $t | $damaged | split(",") | index($t) then .label else "-" end end' out.json
}

# The same damage in a conversion that rounds everything a little: what is larger than the rounding must
# still be blamed on the right tensors, and what is smaller is seen by the bounds for tensors.
under_rounding() {
    local name=$1 shows=$2 damaged=$3 kl
    [ "$shows" = refused ] && { noisy=-; return; }
    mkdir noisy
    expect 0 recast convert bad noisy/bad.gguf --to gguf:q8_0 --draft drop --allow-zero --quiet
    expect 1 recast verify "$sample" noisy/bad.gguf --logits --text text --layers --ablate --json out.json
    kl=$(jq '.behaviour.kl.mean' out.json)
    noisy=$(blame "$damaged")
    if less "$kl" "2 * $rounding"; then
        noisy='less than rounding'
    elif [ "$noisy" = - ]; then
        fail "$name in Q8_0: KL $kl, blamed: $(jq -c .ablation out.json)"
    fi
    case $damaged in
    config:* | mtp.*) ;;
    *)
        expect 1 recast verify "$sample" noisy/bad.gguf --min-sqnr "$bound" --json out.json
        [ "$(jq -r '.tensors[] | select(.passes | not) | .name' out.json | sort)" = "$(echo "$damaged" | tr , '\n' | sort)" ] ||
            fail "$name in Q8_0: out of bounds are $(jq -c '[.tensors[] | select(.passes | not) | .name]' out.json)"
        ;;
    esac
    rm -r noisy
}

# Without the native weights: a golden file tells the difference, and the first layer that differs.
by_golden() {
    local name=$1 layer=$2 shows=$3
    case $shows in
    nothing) expect 0 recast verify --golden golden.rgf bad --quiet ;;
    refused) expect 82 recast verify --golden golden.rgf bad --quiet ;;
    *) expect 1 recast verify --golden golden.rgf bad --quiet ;;
    esac
    case $shows in
    attn | ffn) # of small errors the checksum's layer is told, of large ones the first that is past a threshold
        says err "first to differ: layer $layer,|first past an error of [0-9.]+: layer [$layer-9]," ;;
    logits) if grep -qE 'first (to differ|past an error)' err; then fail "$name: a layer differs"; fi ;;
    esac
}

# By bounds and by ablation, where every expert is rounded to 4 bits.
in_int4() {
    local name=$1 damaged=$2 got kl base=$3
    expect 1 recast verify "$sample" bad --min-sqnr expert=15 --json out.json
    got=$(jq -r '.tensors[] | select(.passes | not) | .name' out.json | sort)
    [ "$got" = "$(echo "$damaged" | tr , '\n' | sort)" ] || fail "$name: out of bounds are '$got', want '$damaged'"
    found=$(jq -r '[.tensors[] | select(.passes | not) | .sqnr_db] | "worst \(min | round) dB"' out.json)
    expect 1 recast verify "$sample" bad --logits --text text --layers --ablate --json out.json
    kl=$(jq '.behaviour.kl.mean' out.json)
    alone="$(shorter "$kl") | - | $(blame "$damaged")" noisy=-
    if less "$kl" "2 * $base"; then
        alone="$(shorter "$kl") | - | less than rounding"
    elif [ "$(blame "$damaged")" = - ]; then
        fail "$name: KL $kl, blamed: $(jq -c .ablation out.json)"
    fi
}

# few A,B,C,D: "A, B and 2 more"
few() { echo "$1" | awk -F, '{ print $1 (NF > 1 ? ", " $2 : "") (NF > 2 ? " and " NF - 2 " more" : "") }'; }

every=1 # with sanitizers a few cases have to do
case $O in *asan* | *tsan*) every=8 ;; esac

expect 0 recast convert "$sample" clean.gguf --to gguf:q8_0 --draft drop --quiet
expect 0 recast verify "$sample" clean.gguf --min-sqnr 35
expect 1 recast verify "$sample" clean.gguf --logits --text text --layers --ablate --json out.json
clean=$(jq '.behaviour.kl.mean' out.json)
expect 0 recast convert "$sample" bf16 --to bf16 --quiet
"$tool" smoothed bf16 smoothed || fail smoothed
expect 0 recast convert smoothed smoothed.gguf --to gguf:q8_0 --draft drop --quiet
expect 1 recast verify "$sample" smoothed.gguf --logits --text text --json out.json
clean_scaled=$(jq '.behaviour.kl.mean' out.json) # scaled channels round more
expect 0 recast verify "$sample" --record golden.rgf --text text --quiet
: >table
n=0
# The copies in 4 bits, and what they diverge by themselves: sound ones are within the bounds.
tool4=$ROOT/$O/tests/cli/repack
[ -x "$tool4" ] || { echo 'repack is not built'; exit 77; }
"$tool4" w4a16-zeros "$sample" w4a16 || fail repack
"$tool4" awq "$sample" awq || fail repack
jq '.quantization_config = {quant_method: "compressed-tensors", format: "pack-quantized", config_groups: {g: {
    targets: ["re:.*experts.*"], weights: {num_bits: 4, type: "int", symmetric: false, group_size: 64}}}}' \
    "$sample/config.json" >w4a16/config.json
jq '.quantization_config = {quant_method: "awq", bits: 4, group_size: 64, zero_point: true, version: "gemm"}' \
    "$sample/config.json" >awq/config.json
for of in w4a16 awq; do
    expect 0 recast verify "$sample" $of --min-sqnr expert=15
    expect 1 recast verify "$sample" $of --logits --text text --layers --json out.json
done
four=$(jq '.behaviour.kl.mean' out.json)
for of in sample bf16 w4a16 awq; do
    # shellcheck disable=SC2046
    "$tool" --list $([ $of = sample ] || echo $of) | sed "s|^|$of\t|"
done >cases
[ "$(wc -l <cases)" -ge 65 ] || fail "$(wc -l <cases) cases"
[ "$(cut -f2 cases | sort | uniq -d)" = '' ] || fail 'two cases of one name'
while IFS=$'\t' read -r of name role layer shows damaged what; do
    [ $((n++ % every)) -eq 0 ] || continue
    from=$of bound=15 rounding=$clean_scaled
    [ "$of" != sample ] || from=$sample bound=35 rounding=$clean
    "$tool" "$name" "$from" bad || fail "$name"
    case $of in
    w4a16 | awq)
        in_int4 "$name" "$damaged" "$four"
        echo "| $what ($of) | $role | $(few "$damaged") | $found | $alone | $noisy |" >>table
        rm -r bad
        continue
        ;;
    esac
    by_tensors "$name" "$shows" "$damaged"
    by_behaviour "$name" "$layer" "$shows" "$damaged"
    by_golden "$name" "$layer" "$shows"
    under_rounding "$name" "$shows" "$damaged"
    echo "| $what | $role | $(few "$damaged") | $found | $alone | $noisy |" >>table
    rm -r bad
done <cases
"$tool" nothing "$sample" bad 2>/dev/null && fail 'a case that is none'
[ ! -e bad ] || fail 'a folder for a case that is none'
[ -z "${SABOTAGE_TABLE:-}" ] || cp table "$SABOTAGE_TABLE"
if [ $every -eq 1 ]; then # digits are the same on every machine
    grep '^| [^|]*| [a-z-]* |' "$ROOT/docs/sabotage.md" | tail -n +2 | diff - table ||
        fail "docs/sabotage.md says otherwise: SABOTAGE_TABLE=FILE writes the rows"
fi
