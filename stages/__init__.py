"""Lightbox: train, compare and explain transfer-learning models on medical images.

One module per stage of dvc.yaml, under the same name:

    download     a source (phantom, kaggle, folder)      -> data/raw.zip
    validate     data/raw.zip                            -> data/manifest.parquet, reports/validate/
    preprocess   archive + manifest                      -> data/processed/
    floor        arrays + manifest                       -> reports/floor/
    train        arrays                                  -> models/<key>/, reports/train/<key>/
    evaluate     model + arrays                          -> reports/evaluate/<key>/
    embed        model + arrays                          -> reports/embed/<key>/
    explain      model + arrays                          -> reports/explain/<key>/
    compare      the files of every key                  -> reports/compare/

A stage exposes `Params`, its settings, and `run(params, job) -> Result`; where only a library knows what is valid, also
`check(params)`, and where only the data do, `check_data(params, images)`. What lies above the stages (`commands`,
`checking`, `study`, `parallel`) may import them; a stage imports `shared` and its own parts, never another stage.
"""
