# syntax-error: a page of notes that was saved under the wrong name
This folder loads the nightly export.

    $ python -m etl.load export.csv
