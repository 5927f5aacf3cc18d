import pickle

import numpy as np
import pytest

from novapulse.backtest.columns import WRITTEN
from novapulse.backtest.tally import TALLY
from novapulse.core import records
from novapulse.core.records import REASON_TEXT, Reason

DTYPES = {name: value for name, value in vars(records).items() if isinstance(value, np.dtype)} | {
    "TALLY": TALLY,
    "WRITTEN": WRITTEN,
}


@pytest.mark.parametrize("name", DTYPES)
def test_no_field_hides_behind_an_attribute_of_numpy(name):
    """Uncompiled code would read numpy's own attribute of that name (`flatten`, `sort`) instead of the field."""
    assert not set(DTYPES[name].names) & set(dir(np.record))


@pytest.mark.parametrize("name", DTYPES)
def test_a_record_of_an_array_writes_into_the_array(name):
    array = np.zeros(2, DTYPES[name])
    record = array[1]
    field = DTYPES[name].names[0]
    setattr(record, field, 1)
    assert array[field].tolist() == [0, 1]


@pytest.mark.parametrize("name", DTYPES)
def test_a_record_has_its_fields_and_no_others_and_comes_back_from_a_pickle(name):
    array = np.zeros(2, DTYPES[name])
    with pytest.raises(AttributeError):
        array[1].no_such_field = 1
    again = pickle.loads(pickle.dumps(array))
    assert type(again[0]) is type(array[0])
    assert again.tobytes() == array.tobytes()


def test_every_reason_has_its_sentence():
    assert set(REASON_TEXT) == set(Reason)
    assert len(set(REASON_TEXT.values())) == len(Reason)
