# SPDX-License-Identifier: BSD-3-Clause
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastcalo import particles


def test_common_particles_agree_with_the_table_of_all():
    from particle import Particle

    codes = [c for c in particles._COMMON if abs(c) not in (12, 14, 16)]
    assert_allclose(particles.mass(codes), [Particle.from_pdgid(c).mass / 1e3 for c in codes], rtol=1e-8)
    assert_array_equal(particles.charge(codes), [float(Particle.from_pdgid(c).charge) for c in codes])


def test_columns_keep_order_and_repeats():
    pdg = np.array([22, -11, 11, 3122, -11, -2212, 22], dtype=np.int32)
    assert_array_equal(particles.charge(pdg), [0, 1, -1, 0, 1, -1, 0])
    assert_allclose(particles.mass(pdg)[3], 1.115683, rtol=1e-6)
    assert particles.mass(np.array([], dtype=np.int32)).shape == (0,)


@pytest.mark.parametrize("code", [0, -22, -130, 99, 2**31 - 1, -(2**31)])
def test_unknown_codes_are_nan(code):
    assert np.isnan(particles.mass([code, 22])[0])
    assert np.isnan(particles.charge([code, 22])[0])


def test_nuclei_are_without_their_electrons():
    # the deuteron's mass by CODATA 2022; an atom of deuterium weighs half an MeV more
    assert_allclose(particles.mass([1000010020, -1000010020]), 1.87561294500, rtol=1e-7)
    assert_array_equal(particles.charge([1000010020, -1000010020, 1000822080]), [1, -1, 82])


def test_neutrinos_are_invisible():
    assert_array_equal(
        particles.is_invisible(np.array([12, -14, 16, 11, 22, 130, -(2**31)], dtype=np.int32)),
        [True, True, True, False, False, False, False],
    )


def test_common_particles_do_not_load_the_table_of_all():
    code = (
        "import sys; from fastcalo import particles; particles.mass([11, -11, 22, 13, 211, -211, 321, 130, 2112, 12]);"
        "assert 'particle' not in sys.modules; particles.mass([3122]); assert 'particle' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
