"""Tells the language of a text by the letters that follow one another, as a gRPC service (languages.proto)."""

import math

# Article 1 of the Universal Declaration of Human Rights: enough to tell these six apart.
TEXTS = {
    "de": (
        "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und Gewissen "
        "begabt und sollen einander im Geist der Brüderlichkeit begegnen."
    ),
    "en": (
        "All human beings are born free and equal in dignity and rights. They are endowed with reason and "
        "conscience and should act towards one another in a spirit of brotherhood."
    ),
    "es": (
        "Todos los seres humanos nacen libres e iguales en dignidad y derechos y, dotados como están de razón "
        "y conciencia, deben comportarse fraternalmente los unos con los otros."
    ),
    "fr": (
        "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de raison et "
        "de conscience et doivent agir les uns envers les autres dans un esprit de fraternité."
    ),
    "it": (
        "Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti. Essi sono dotati di ragione e "
        "di coscienza e devono agire gli uni verso gli altri in spirito di fratellanza."
    ),
    "nl": (
        "Alle mensen worden vrij en gelijk in waardigheid en rechten geboren. Zij zijn begiftigd met verstand "
        "en geweten, en behoren zich jegens elkander in een geest van broederschap te gedragen."
    ),
}
INVALID_ARGUMENT = 3


class Handler:
    def __init__(self, config, proto_module_pb2):
        self.messages = proto_module_pb2
        self.counts = {language: self._count(text) for language, text in TEXTS.items()}

    def Detect(self, payload, context):
        if not payload.text.strip():
            context.abort(INVALID_ARGUMENT, "the text is empty")
        return self._detect(payload.text)

    def DetectLines(self, payload, context):
        for line in payload.text.splitlines():
            if line.strip():
                yield self._detect(line)

    def _detect(self, text):
        scores = {language: self._score(text, counts) for language, counts in self.counts.items()}
        best = max(scores, key=scores.get)
        total = sum(math.exp(score - scores[best]) for score in scores.values())
        return self.messages.Detection(text=text, language=best, confidence=1 / total)

    def _score(self, text, counts):
        """Log probability by naive Bayes, with one added to each count."""
        size = sum(counts.values()) + 1000
        return sum(seen * math.log((counts.get(group, 0) + 1) / size) for group, seen in self._count(text).items())

    @staticmethod
    def _count(text):
        counts = {}
        padded = f" {' '.join(text.lower().split())} "
        for size in (1, 2, 3):
            for at in range(len(padded) - size + 1):
                group = padded[at : at + size]
                counts[group] = counts.get(group, 0) + 1
        return counts
