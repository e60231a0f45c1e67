"""Small models of XGBoost and LightGBM, rows, and what the libraries themselves predict for them.

    python3 -m venv .venv && .venv/bin/pip install -r requirements.txt
    .venv/bin/python recompute.py        # writes the files beside this one

For each case there is the model as the library writes it (`xgboost-*.json`, `lightgbm-*.txt`) and a table
`*.csv` of rows: the features (nothing where one is missing), the margin, the prediction and, for XGBoost, the
contributions of the features along the paths with the constant part last. Numbers are written so that
reading them back gives the same bits.

Half of the rows are drawn like the training data. The other half are thresholds of the model and their
neighbours, because that is where `<` and `<=`, 32 and 64 bits and kinds of missing values differ.
"""

import json
import pathlib

import lightgbm
import numpy as np
import xgboost

HERE = pathlib.Path(__file__).parent
FEATURES = ["distance", "delay", "hour", "seats", "wind", "price"]
TRAINING, DRAWN, EDGES = 600, 40, 40


def training(rng, missing=0.15):
    """Few distinct values for half of the features, so that rows lie on thresholds; the last one has zeros."""
    x = rng.normal(size=(TRAINING, len(FEATURES)))
    x[:, ::2] = np.round(x[:, ::2] * 4) / 4
    x[:, 5] *= rng.random(TRAINING) < 0.6
    score = x[:, 0] - 0.7 * x[:, 1] * (x[:, 2] > 0) + 0.5 * np.abs(x[:, 3]) + 0.4 * x[:, 5]
    y = score + rng.normal(size=TRAINING) * 0.3 + 0.8 * (rng.random(TRAINING) < 0.1)
    x[rng.random(x.shape) < missing] = np.nan
    return x, y


def rows(rng, x, thresholds, precision, extremes):
    drawn = x[rng.integers(0, len(x), DRAWN)].copy()
    edges = x[rng.integers(0, len(x), EDGES)].copy()
    for row in edges:
        for feature, values in thresholds.items():
            if values and rng.random() < 0.7:
                value = precision(values[rng.integers(0, len(values))])
                side = [-np.inf, value, np.inf][rng.integers(0, 3)]
                row[feature] = np.nextafter(value, precision(side))
    specials = np.array([0.0, -0.0, np.nan, *extremes])
    special = specials[rng.integers(0, len(specials), (10, x.shape[1]))]
    return np.concatenate([drawn, edges, special]).astype(precision)


def write(name, x, *results):
    texts = [[("" if np.isnan(v) else repr(float(v))) for v in row] for row in x]
    columns = [np.asarray(r).reshape(len(x), -1) for r in results]
    for row, values in zip(texts, np.concatenate(columns, axis=1)):
        row.extend(repr(float(v)) for v in values)
    (HERE / f"{name}.csv").write_text("".join(",".join(row) + "\n" for row in texts))


def by_xgboost(name, seed, trees, label=lambda y: y, **parameters):
    rng = np.random.default_rng(seed)
    x, y = training(rng)
    data = xgboost.DMatrix(x.astype(np.float32), label(y), feature_names=FEATURES)
    model = xgboost.train({"seed": seed, "nthread": 1, "eta": 0.3, **parameters}, data, trees)
    text = model.save_raw("json").decode()
    (HERE / f"xgboost-{name}.json").write_text(text + "\n")
    thresholds = {feature: [] for feature in range(len(FEATURES))}
    for tree in json.loads(text)["learner"]["gradient_booster"]["model"]["trees"]:
        for feature, value, left in zip(tree["split_indices"], tree["split_conditions"], tree["left_children"]):
            if left >= 0:
                thresholds[feature].append(value)
    # The library refuses infinities in its input.
    x = rows(rng, x, thresholds, np.float32, [3e38, -3e38])
    data = xgboost.DMatrix(x, feature_names=FEATURES)
    write(
        f"xgboost-{name}",
        x,
        model.predict(data, output_margin=True),
        model.predict(data),
        model.predict(data, pred_contribs=True, approx_contribs=True),
    )


def by_lightgbm(name, seed, trees, label=lambda y: y, **parameters):
    rng = np.random.default_rng(seed)
    x, y = training(rng)
    fixed = {"seed": seed, "num_threads": 1, "deterministic": True, "verbose": -1, "min_data_in_leaf": 5}
    data = lightgbm.Dataset(x, label(y), feature_name=FEATURES)
    model = lightgbm.train({**fixed, **parameters}, data, trees)
    # The list of all parameters behind the trees says nothing of the model.
    text = model.model_to_string().split("\nparameters:")[0]
    (HERE / f"lightgbm-{name}.txt").write_text(text + "\n")
    thresholds = {feature: [] for feature in range(len(FEATURES))}
    frame = [block.splitlines() for block in text.split("\nTree=")[1:]]
    for block in frame:
        fields = dict(line.split("=", 1) for line in block if "=" in line)
        if fields.get("split_feature"):
            for feature, value in zip(fields["split_feature"].split(), fields["threshold"].split()):
                thresholds[int(feature)].append(float(value))
    tiny = [1e-35, -1e-35, float(np.float32(1e-35)), 1e-36, 2e-35]
    x = rows(rng, x, thresholds, np.float64, [np.inf, -np.inf, 1e300, *tiny])
    write(f"lightgbm-{name}", x, model.predict(x, raw_score=True), model.predict(x))


def positive(y):
    return (y > 1.0).astype(float)


by_xgboost("logistic", 1, 12, positive, objective="binary:logistic", max_depth=4)
by_xgboost("forest", 2, 4, positive, objective="binary:logistic", max_depth=6, num_parallel_tree=3,
           subsample=0.7, colsample_bynode=0.6, base_score=0.2, gamma=0.5)
by_xgboost("regression", 3, 10, lambda y: 40 * y + 7, objective="reg:squarederror", max_depth=3)
by_xgboost("constant", 4, 2, objective="reg:squarederror", gamma=1e9, base_score=0.125)
by_lightgbm("binary", 5, 10, positive, objective="binary", num_leaves=15, sigmoid=0.7)
by_lightgbm("regression", 6, 8, lambda y: 40 * y + 7, objective="regression", num_leaves=12)
by_lightgbm("zeros", 7, 8, positive, objective="binary", num_leaves=12, zero_as_missing=True)
by_lightgbm("no-missing", 8, 8, objective="regression", num_leaves=12, use_missing=False)
by_lightgbm("forest", 9, 6, positive, objective="binary", boosting="rf", num_leaves=12,
            bagging_freq=1, bagging_fraction=0.6, feature_fraction=0.7)
by_lightgbm("constant", 10, 3, objective="regression", min_gain_to_split=1e9)
