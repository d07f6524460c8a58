"""The contact sheet."""

import cv2
import numpy as np

from finetune.data import contact_sheet
from tests.finetune.data.datasets import read_and_check, write_yolo


def test_the_contact_sheet_shows_the_labels(tmp_path):
    write_yolo(tmp_path, {str(i): "0 0.5 0.5 0.4 0.4\n" for i in range(6)})
    data, _, _ = read_and_check(write_yolo(tmp_path, {"b": "0 0.5 0.5 0.2 0.4\n"}, "val"))
    sheet = tmp_path / "sheet.jpg"
    contact_sheet.write(data.train, data.names, sheet)
    pixels = cv2.imread(str(sheet))
    assert pixels.shape == (720, 1920, 3)
    assert np.ptp(pixels[72:168, 144:336].astype(int)) > 60  # a box on the uniform grey
    first = sheet.read_bytes()
    contact_sheet.write(data.train, data.names, sheet)
    assert sheet.read_bytes() == first
