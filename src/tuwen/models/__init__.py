"""Encoders by modality, fusions, tasks and the model they make. Tensors in, tensors out."""

from tuwen.registry import Registry

ENCODERS = Registry(
    "encoder",
    {
        "cnn": ("tuwen.models.image:Cnn", "image: 3×3 convolutions and max-pooling, trained from scratch"),
        "resnet": ("tuwen.models.image:ResNet", "image: residual blocks, trained from scratch"),
        "vit": ("tuwen.models.image:Vit", "image: transformer over squares, trained from scratch"),
        "efficientnet-lite0": ("tuwen.models.transfer:EfficientNetLite0", "image: pretrained, frozen or fine-tuned"),
        "colour": ("tuwen.models.colour:Colour", "image: colours and edges over a grid; nothing is learned"),
        "lstm": ("tuwen.models.text:Lstm", "text: embedding and LSTM, trained from scratch"),
        "gru": ("tuwen.models.text:Gru", "text: embedding and GRU, trained from scratch"),
        "textcnn": ("tuwen.models.text:TextCnn", "text: convolutions over a few tokens, trained from scratch"),
        "transformer": ("tuwen.models.text:Transformer", "text: self-attention, trained from scratch"),
        "ngram": ("tuwen.models.text:Ngram", "text: weighted bag of n-grams (what TF-IDF + linear is)"),
        "e5-small": ("tuwen.models.transfer:E5Small", "text: multilingual-e5-small, pretrained, frozen or fine-tuned"),
        "minilm": ("tuwen.models.transfer:MiniLm", "text: all-MiniLM-L6-v2, pretrained (English), frozen or tuned"),
        "transformers": ("tuwen.models.hub:Transformers", "text: any encoder of transformers, by name"),
        "sentence-transformers": ("tuwen.models.hub:SentenceTransformers", "text: any sentence-transformer, by name"),
        "transformers-picture": (
            "tuwen.models.hub:TransformersPicture",
            "image: any picture encoder of transformers, by name",
        ),
        "timm": ("tuwen.models.hub:Timm", "image: any model of timm, by name"),
        "open-clip": ("tuwen.models.hub:OpenClip", "image: the picture half of any open_clip model, by name"),
        "audio-cnn": ("tuwen.models.audio:AudioCnn", "audio: convolutions over a spectrogram, trained from scratch"),
        "pointnet": ("tuwen.models.shape:PointNet", "shape: one network for every point, then the largest answers"),
        "table": ("tuwen.models.table:Table", "table: embeddings of categories and numbers; with hidden, an MLP"),
        "ft-transformer": ("tuwen.models.table:FtTransformer", "table: transformer over one token a column"),
    },
)

FUSIONS = Registry(
    "fusion",
    {
        "auto": ("tuwen.models.auto:Auto", "linear models, small networks and trees, combined by what they are worth"),
        "sum": ("tuwen.models.fusion:Sum", "project every vector to one width and add"),
        "concat": ("tuwen.models.fusion:Concat", "lay the vectors side by side, then a dense layer"),
        "gated": ("tuwen.models.fusion:Gated", "every row weighs its modalities, number by number"),
        "attention": ("tuwen.models.fusion:Attention", "a transformer over one token a modality"),
        "low-rank": ("tuwen.models.fusion:LowRank", "products of all modalities, through few factors"),
        "late": ("tuwen.models.late:Late", "each modality answers alone; calibrated and combined out of fold"),
        "pairwise": ("tuwen.models.fusion:Pairwise", "sum and products of every pair (factorisation machine)"),
    },
)

GENERATORS = Registry(
    "generator",
    {
        "impute": ("tuwen.models.generator:Impute", "fills an absent modality from those that are there"),
        "augment": ("tuwen.models.generator:Augment", "makes vectors of all modalities for rare classes"),
    },
)

TASKS = Registry(
    "task",
    {
        "rate": ("tuwen.models.tasks:Rate", "a number: wᵀF + b"),
        "binary": ("tuwen.models.tasks:Binary", "yes or no: sigmoid"),
        "classify": ("tuwen.models.tasks:Classify", "one of several classes: softmax"),
        "contrast": (
            "tuwen.models.contrast:Contrast",
            "what belongs together, without labels: pictures and their texts",
        ),
    },
)

RATERS = Registry(
    "rater",
    {
        "biases": ("tuwen.models.raters.biases:Biases", "what is given on average, by whom, and to what"),
        "factors": ("tuwen.models.raters.factors:Factors", "vectors of users and items, from ratings and content"),
        "neighbours": ("tuwen.models.raters.neighbours:Neighbours", "what a user gave to like items"),
    },
)
