"""The words in a picture, read by the PP-OCR networks of the wheel ``rapidocr``, run by ONNX Runtime.

A detector says where lines of text are, a recogniser reads each. Only NumPy, Pillow and ONNX Runtime are needed: none
of the wheel's own code runs, and no torch. Everything below ``preprocess`` may be imported from here.
"""

from tuwen.preprocess.ocr.cache import LineCache
from tuwen.preprocess.ocr.reader import Line, Reader, text_of

__all__ = ["Line", "LineCache", "Reader", "text_of"]
