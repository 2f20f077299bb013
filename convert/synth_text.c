/* convert/synth_text.c - see synth_text.h. Changing a word changes the tokenizer of every
 * synthetic checkpoint, and nothing else. */
#include "convert/synth_text.h"

#include <stddef.h>

/* clang-format off */
const char *const rc_synth_text[] = {
    "A checkpoint is a folder of shards, and a shard is a file of tensors. The header of a shard "
    "says where each tensor begins and where it ends, what the type of its elements is, and what "
    "shape they have. Nothing in the header is true until it has been checked against the file "
    "itself: a length may be too long, an offset may point past the end, two tensors may want the "
    "same bytes. The reader who checks first and believes afterwards will never be surprised.\n",

    "When the weights of a model are converted, the numbers should not change. That is easy to say "
    "and hard to show. The values of one format are not always the values of another; some of them "
    "must be rounded, and then the question is how far, and in which direction, and who decided. A "
    "good tool says what it did with each of them. It counts what was exact and what was not, it "
    "names the tensor and the row, and it leaves the decision to the person who has to live with "
    "the result. A tool that is silent about its losses is not faster; it is only less honest.\n",

    "The model reads tokens and writes tokens. Between the text and the model stands the tokenizer, "
    "which cuts the text into pieces that it has seen often before: the, of, and, ing, tion, er. "
    "A piece that is common gets a number of its own; a piece that is rare is put together from "
    "smaller ones, down to the single byte, so that there is no text at all that it cannot read. "
    "You can ask it anything. What is the capital of France? How many letters are there in this "
    "sentence? Please write a function that adds two numbers, and explain what you have done.\n",

    "I don't know, she said, but we're going to find out. They've asked us to be there at 10:30, and "
    "it's 9:45 now. If you'd like to come with us, you'll have to hurry! \"Why?\" he asked. Because "
    "the train leaves at 10:05, because there won't be another one before the evening, and because "
    "I've told everybody that you would be the first to arrive.\n",

    "#include <stdio.h>\n#include <string.h>\n\nint main(int argc, char **argv)\n{\n    for (int i = "
    "1; i < argc; i++) {\n        const size_t n = strlen(argv[i]);\n\n        if (n == 0)\n        "
    "    continue;\n        show(\"%s: %zu\\n\", argv[i], n);\n    }\n    return 0;\n}\n\n",

    "static bool is_power_of_two(unsigned n)\n{\n    return n != 0 && (n & (n - 1)) == 0;\n}\n\n"
    "def read_all(path):\n    with open(path, \"rb\") as f:\n        data = f.read()\n    if not data:"
    "\n        return None\n    return [x for x in data if x != 0]\n\n",

    "{\"name\": \"get_weather\", \"description\": \"Get the weather for a city\", \"parameters\": "
    "{\"type\": \"object\", \"properties\": {\"city\": {\"type\": \"string\"}, \"unit\": {\"type\": "
    "\"string\", \"enum\": [\"celsius\", \"fahrenheit\"]}}, \"required\": [\"city\"]}}\n",

    "layers.0.attn.wq_a.weight, layers.0.attn.wq_b.weight, layers.12.ffn.experts.255.w1.weight, "
    "layers.42.ffn.experts.7.w2.scale: 4096 x 2048, 128 x 128, 32 of 256, 1/16, 0.5, 1e-6, 100%, "
    "2024, 2025, 2026, 1000, 10000, 65536, 129280.\n",

    "Ein Modell liest Zeichen und schreibt Zeichen. Wer wissen will, ob die Gewichte noch dieselben "
    "sind, muss sie vergleichen, und zwar alle. Das dauert eine Weile, aber danach weiß man es.\n",

    "Un modèle lit des signes et en écrit d'autres. Pour savoir si les poids sont restés les mêmes, "
    "il faut les comparer, tous, sans exception. Cela prend du temps, mais après on en est sûr.\n",

    "Un modelo lee signos y escribe signos. Para saber si los pesos siguen siendo los mismos hay que "
    "compararlos, todos, uno por uno. ¿Cuánto tarda? Un rato, pero después se sabe con certeza.\n",

    "Модель читает знаки и пишет знаки. Чтобы узнать, остались ли веса теми же самыми, их надо "
    "сравнить, все до одного. Это займёт время, но потом можно быть уверенным.\n",

    "模型读入文字，也写出文字。要知道权重有没有改变，只能一个一个地比较。这需要一点时间，但是比较之后，"
    "我们就知道了。今天的天气怎么样？请你用中文回答这个问题。我们可以开始了吗？\n",

    "モデルは文字を読み、文字を書きます。重みが変わっていないかどうかを知るには、一つ一つ比べるしかあり"
    "ません。時間はかかりますが、そのあとは安心です。今日の天気はどうですか。\n",

    "모델은 글을 읽고 글을 씁니다. 가중치가 그대로인지 알려면 하나하나 비교해야 합니다.\n",

    "النموذج يقرأ الحروف ويكتب الحروف. لكي نعرف أن الأوزان لم تتغير يجب أن نقارنها كلها.\n",

    "मॉडल अक्षर पढ़ता है और अक्षर लिखता है। भार वही हैं या नहीं, यह जानने के लिए तुलना करनी होती है।\n",
    NULL,
};
/* clang-format on */
