"""What a study is handed on as, beside the page: model cards, checklists, slides, a PDF, references.

facts.py        what the artefacts say, in one or two sentences each, with the section of the page that shows it
checklist.py    an item, whether the study answers it, a checklist as Markdown
claim_2024.csv  the items of CLAIM 2024
tripod_ai.csv   the items of TRIPOD+AI
cards.py        the card of one model
references.py   BibTeX of the methods that this study used
methods.bib     BibTeX of all of them
captions.py     titles of figures
deck.py         slides
booklet.py      a PDF of the answers and all figures
write.py        writes them all
"""
