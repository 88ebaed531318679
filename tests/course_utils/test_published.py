"""Every cell against the tables as typed a second time, from the deck and the papers."""

import pandas as pd
import pytest

from course_utils import published

CROSS_MODEL = """
 |FC10(1e-4)|FC10(1e-2)|FC10(1)|FC100-100-10|FC200-200-10|AE400-10|av. distortion
FC10(1e-4)|100%|11.7%|22.7%|2%|3.9%|2.7%|0.062
FC10(1e-2)|87.1%|100%|35.2%|35.9%|27.3%|9.8%|0.1
FC10(1)|71.9%|76.2%|100%|48.1%|47%|34.4%|0.14
FC100-100-10|28.9%|13.7%|21.1%|100%|6.6%|2%|0.058
FC200-200-10|38.2%|14%|23.8%|20.3%|100%|2.7%|0.065
AE400-10|23.4%|16%|24.8%|9.4%|6.6%|100%|0.086
Gaussian noise, stddev=0.1|5.0%|10.1%|18.3%|0%|0%|0.8%|0.1
Gaussian noise, stddev=0.3|15.6%|11.3%|22.7%|5%|4.3%|3.1%|0.3
"""
CROSS_TRAINING = """
 |FC100-100-10|FC123-456-10|FC100-100-10'|av. distortion
FC100-100-10|100%|26.2%|5.9%|0.062
FC123-456-10|6.25%|100%|5.1%|0.059
FC100-100-10'|8.2%|8.2%|100%|0.058
Gaussian noise, stddev=0.06|2.2%|2.6%|2.4%|0.06
"""
AMPLIFIED = """
 |FC100-100-10|FC123-456-10|FC100-100-10'|av. distortion
FC100-100-10|100%|98%|43%|0.1
FC123-456-10|96%|100%|22%|0.1
FC100-100-10'|27%|50%|100%|0.1
Gaussian noise, stddev=0.1|2.6%|2.8%|2.7%|0.1
"""
MODELS = """
 |train error|test error|av. distortion
FC10(1e-4)|6.7%|7.4%|.062
FC10(1e-2)|10%|9.4%|.1
FC10(1)|21.2%|20%|.14
FC100-100-10|0%|1.64%|.058
FC200-200-10|0%|1.54%|.065
AE400-10|.57%|1.9%|.086
"""
FAST_GRADIENT_SIGN = """
 |error|confidence on mistakes|confidence on clean images
shallow softmax|99.9%|79.3%|nan
maxout|89.4%|97.6%|nan
maxout, adversarially trained|17.9%|81.4%|nan
shallow RBF|55.4%|1.2%|60.6%
logistic regression, 3 against 7|99%|nan|nan
"""
PARZEN = """
 |log-likelihood|error
DBN|138|2
stacked CAE|121|1.6
deep GSN|214|1.1
adversarial nets|225|2
"""


def parse(text):
    header, *rows = [line.split("|") for line in text.strip("\n").splitlines()]
    cells = [[float(cell.rstrip("%")) for cell in row[1:]] for row in rows]
    return pd.DataFrame(cells, index=[row[0] for row in rows], columns=header[1:])


@pytest.mark.parametrize(
    ("table", "text"),
    [
        (published.cross_model_table(), CROSS_MODEL),
        (published.cross_training_table(), CROSS_TRAINING),
        (published.cross_training_table(amplified=True), AMPLIFIED),
        (published.szegedy_models(), MODELS),
        (published.fast_gradient_sign(), FAST_GRADIENT_SIGN),
        (published.parzen_log_likelihoods(), PARZEN),
    ],
    ids=["cross-model", "cross-training", "amplified", "models", "fgsm", "parzen"],
)
def test_every_cell(table, text):
    pd.testing.assert_frame_equal(table, parse(text), check_exact=True)


def test_alexnet_bounds():
    text = """Conv. 1|3 x 11 x 11 x 96|4|2.75
Conv. 2|96 x 5 x 5 x 256|1|10
Conv. 3|256 x 3 x 3 x 384|1|7
Conv. 4|384 x 3 x 3 x 384|1|7.5
Conv. 5|384 x 3 x 3 x 256|1|11
FC. 1|9216 x 4096|N/A|3.12
FC. 2|4096 x 4096|N/A|4
FC. 3|4096 x 1000|N/A|4"""
    table = published.alexnet_bounds()
    lines = [
        f"{name}|{' x '.join(map(str, row['size']))}|"
        f"{'N/A' if pd.isna(row['stride']) else row['stride']}|{row['bound']:g}"
        for name, row in table.iterrows()
    ]
    assert lines == text.splitlines()


def test_single_figures():
    assert list(published.CLEAN_ERRORS.values()) == [0.94, 0.84, 0.782, 1.6]
