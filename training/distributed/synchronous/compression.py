# SPDX-License-Identifier: BSD-3-Clause
"""Gradient compression to 16 bits with error feedback.

Seide et al., Interspeech 2014, for the feedback of errors, and Karimireddy et al., arXiv:1901.09847, for why it
converges; that sums are rounded again on their way back, and that error kept as well, is from Tang et al.,
arXiv:1905.05957.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from .buckets import Bucket
from .mpi_transport import Request, Transport

TYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}


class Compressor:
    """Sums of buckets over all ranks, in two messages of half the size.

    Each rank is to sum one part of every bucket: it gets that part from all others, adds in float32, and sends the sum
    to all. MPI has no sums of 16-bit numbers. All ranks end with the same bits, for all read the same message.

    Parameters
    ----------
    transport : Transport
    kind : str
        ``"fp16"`` or ``"bf16"``.
    """

    def __init__(self, transport: Transport, kind: str) -> None:
        self._transport, self._type = transport, TYPES[kind]
        self._buffers: dict[int, _BucketBuffers] = {}

    def sum(self, bucket: Bucket) -> Request:
        """Sum a bucket over all ranks, in place. It must live as long as this."""
        if id(bucket) not in self._buffers:
            self._buffers[id(bucket)] = _BucketBuffers(bucket, self._transport.size, self._type)
        return self._transport.run(self._steps(bucket, self._buffers[id(bucket)]))

    def residual(self, bucket: Bucket) -> Tensor:
        """What this rank has not sent yet of a bucket's gradients, float32 [N]."""
        return self._buffers[id(bucket)].residual_N[: bucket.numbers]

    def _steps(self, bucket: Bucket, buffers: _BucketBuffers) -> Iterator[Request]:
        n, left_N, left_PC = bucket.numbers, buffers.residual_N, buffers.residual_N.view(self._transport.size, -1)
        left_N[:n] += bucket.flat[:n]
        # where no rank has a gradient there is none afterwards, and what were sent would be lost
        kept = [(part, left_N[part].clone()) for part in bucket.absent()]
        for part, _ in kept:
            left_N[part] = 0
        buffers.out.encode(left_PC)
        buffers.out.flags_PM.copy_(bucket.flat[n:])
        left_PC -= buffers.out.decode()
        for part, value in kept:
            left_N[part] = value
        yield self._transport.scatter(buffers.out.bytes, buffers.got.bytes)
        sum_C = buffers.got.decode().sum(0)
        buffers.row.encode(sum_C)
        left_PC[self._transport.rank] += sum_C - buffers.row.decode()[0]
        yield self._transport.gather(buffers.row.bytes[0], buffers.all.bytes)
        bucket.flat[:n] = buffers.all.decode().view(-1)[:n]
        bucket.flat[n:] = buffers.got.flags_PM.sum(0)


class _BucketBuffers:
    """Buffers of one bucket. Its numbers are filled up with zeros, so that each rank sums as many."""

    def __init__(self, bucket: Bucket, ranks: int, kind: torch.dtype) -> None:
        part, flags = -(-bucket.numbers // ranks), len(bucket.parameters)
        self.residual_N = torch.zeros(part * ranks, device=bucket.flat.device)
        self.out, self.got, self.row, self.all = (
            _Packets(rows, flags, part, kind, bucket.flat.device) for rows in (ranks, ranks, 1, ranks)
        )


class _Packets:
    """Rows of bytes, [P, W], and views of what is in them: a scale, M flags, C numbers of 16 bits."""

    def __init__(self, rows: int, flags: int, numbers: int, kind: torch.dtype, device: torch.device) -> None:
        # each at a multiple of four bytes
        begin = 4 + -(-flags // 4) * 4
        end = begin + 2 * numbers
        self.bytes = torch.zeros(rows, -(-end // 4) * 4, dtype=torch.uint8, device=device)
        self.scale_P1 = self.bytes[:, :4].view(torch.float32)
        self.flags_PM = self.bytes[:, 4 : 4 + flags]
        self.values_PC = self.bytes[:, begin:end].view(kind)

    def encode(self, numbers_PC: Tensor) -> None:
        """Write numbers, scaled such that the largest neither overflows nor leaves the small ones without bits."""
        scale = _scale(numbers_PC)
        self.scale_P1.copy_(scale)
        self.values_PC.copy_(numbers_PC * scale)

    def decode(self) -> Tensor:
        """The numbers, float32 [P, C]."""
        return torch.div(self.values_PC, self.scale_P1)


def _scale(numbers: Tensor) -> Tensor:
    """Power of two that brings the largest of some numbers to 2^14 to 2^15, half of what fp16 can hold.

    So no scaling rounds, and what is 2^-39 of the largest is the smallest that is not lost. The scale and its inverse
    stay normal float32.
    """
    least, most = torch.aminmax(numbers)
    exponent = torch.frexp(torch.maximum(-least, most)).exponent
    return torch.ldexp(torch.ones((), device=numbers.device), (15 - exponent).clamp(-126, 126))
