"""What PyTorch calls its element types, as classes of storages and as dtypes.

From torch/storage.py and c10/core/ScalarType.h of https://github.com/pytorch/pytorch.
"""

from typing import Final

from .regions import ElementType

STORAGES: Final = {
    "BoolStorage": ElementType.BOOL,
    "ByteStorage": ElementType.U8,
    "CharStorage": ElementType.I8,
    "ShortStorage": ElementType.I16,
    "IntStorage": ElementType.I32,
    "LongStorage": ElementType.I64,
    "HalfStorage": ElementType.F16,
    "BFloat16Storage": ElementType.BF16,
    "FloatStorage": ElementType.F32,
    "DoubleStorage": ElementType.F64,
    "ComplexFloatStorage": ElementType.C64,
    "ComplexDoubleStorage": ElementType.C128,
    "QInt8Storage": ElementType.I8,
    "QUInt8Storage": ElementType.U8,
    "QInt32Storage": ElementType.I32,
    "UntypedStorage": ElementType.UNKNOWN,
    "_UntypedStorage": ElementType.UNKNOWN,
}
"""What the elements of a storage are; UNKNOWN where only the tensors in it say so."""
DTYPES: Final = {
    "bool": ElementType.BOOL,
    "uint8": ElementType.U8,
    "int8": ElementType.I8,
    "uint16": ElementType.U16,
    "int16": ElementType.I16,
    "uint32": ElementType.U32,
    "int32": ElementType.I32,
    "uint64": ElementType.U64,
    "int64": ElementType.I64,
    "float16": ElementType.F16,
    "bfloat16": ElementType.BF16,
    "float32": ElementType.F32,
    "float64": ElementType.F64,
    "complex64": ElementType.C64,
    "complex128": ElementType.C128,
    "float8_e4m3fn": ElementType.F8_E4M3,
    "float8_e5m2": ElementType.F8_E5M2,
    "float8_e4m3fnuz": ElementType.F8_E4M3FNUZ,
    "float8_e5m2fnuz": ElementType.F8_E5M2FNUZ,
    "float8_e8m0fnu": ElementType.F8_E8M0,
    "float4_e2m1fn_x2": ElementType.F4,
}
"""What the elements of a tensor are whose storage does not say."""
