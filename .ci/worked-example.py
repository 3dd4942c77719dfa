"""Does to this copy of the project what CONTRIBUTING.md tells an author to do, so that its example stays true.

A code block behind `<!-- file: PATH -->` is the whole file. One behind `<!-- in: PATH -->` takes the place of what
`lab new exercise 03 reverse-server --kind udp` has put there.
"""
import json
import re
import sys

NAME = "reverse-server"


def put_into_catalogue(text, block):
    lesson = json.loads(text)
    if block.startswith('"causes"'):
        lesson.setdefault("causes", {}).update(json.loads("{" + block + "}")["causes"])
    else:
        exercise = json.loads(block)
        index = [each["id"] for each in lesson["exercises"]].index(exercise["id"])
        lesson["exercises"][index] = exercise
    return json.dumps(lesson, ensure_ascii=False, indent=2) + "\n"


def put_into_lines(text, block, marks):
    """Replaces the one line of the skeleton that contains one of the marks."""
    lines = text.split("\n")
    places = [i for i, line in enumerate(lines) if any(mark in line for mark in marks)]
    if len(places) != 1:
        sys.exit(f"expected one line with {marks}, found {len(places)}")
    lines[places[0]:places[0] + 1] = block.rstrip("\n").split("\n")
    return "\n".join(lines)


def marked_blocks(guide):
    text = open(guide, encoding="utf-8").read()
    blocks = re.findall(r"<!-- (file|in): (\S+) -->\n```\w*\n(.*?)```", text, re.DOTALL)
    if len(blocks) < 7:
        sys.exit(f"{guide} has only {len(blocks)} marked blocks")
    return blocks


def main(guide, *translations):
    blocks = marked_blocks(guide)
    for translation in translations:
        if marked_blocks(translation) != blocks:
            sys.exit(f"the marked blocks of {translation} are not those of {guide}")
    for kind, path, block in blocks:
        if kind == "in":
            old = open(path, encoding="utf-8").read()
            if path.endswith(".json"):
                block = put_into_catalogue(old, block)
            else:
                check = NAME + "-answers"
                block = put_into_lines(old, block, [f"| `{check}` |", f"func test_{check.replace('-', '_')}()"])
        with open(path, "w", encoding="utf-8") as file:
            file.write(block)
        print("as in", guide + ":", path)


main(*sys.argv[1:])
