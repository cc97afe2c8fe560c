"""Whatever happens to a cohort between two runs of `index`: what did not change stays."""

import shutil
import tempfile
from pathlib import Path

from cohort_trees import cohort_rows, file_states, index, table, touched
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mriqa.cohort.manifest import list_shards, read_shard, shard_name
from mriqa.run.plan import read_loads

SUBJECTS = st.sets(st.integers(0, 30), min_size=1, max_size=12)


def series_id(number: int) -> str:
    return f"demo_sub-{number:02d}_T1w"


class Cohort(RuleBasedStateMachine):
    """A table source that grows, shrinks and is edited; `index` after each change."""

    @initialize(subjects=SUBJECTS)
    def begin(self, subjects):
        self.folder = Path(tempfile.mkdtemp(prefix="mriqa-cohort-"))
        self.results = self.folder / "out"
        self.ages: dict[int, int] = {}
        self.placed: dict[str, int] = {}
        self.numbers: set[int] = set()
        self.grow(subjects)

    @rule(subjects=SUBJECTS)
    def grow(self, subjects):
        old = set(self.placed)
        for number in subjects:
            self.ages.setdefault(number, 40)
            image = self.folder / f"{number}.nii"
            if not image.exists():
                image.write_bytes(bytes(number + 1))
        written = self.index_again()
        new = {one for one in self.placed if one not in old}
        shards = {self.placed[one] for one in new}
        assert written == self.manifests(shards)
        assert all(self.placed[one] not in shards for one in old)

    @rule(subjects=SUBJECTS)
    def shrink(self, subjects):
        left = {number for number in self.ages if number not in subjects}
        if left:
            shards = {self.placed[series_id(number)] for number in self.ages.keys() - left}
            self.ages = {number: self.ages[number] for number in left}
            assert self.index_again() == self.manifests(shards)

    @rule(subjects=SUBJECTS)
    def replace_files(self, subjects):
        chosen = subjects & self.ages.keys()
        for number in chosen:
            image = self.folder / f"{number}.nii"
            image.write_bytes(image.read_bytes() + b"x")
        assert self.index_again() == self.manifests(
            {self.placed[series_id(number)] for number in chosen}
        )

    @rule(age=st.integers(1, 99))
    def correct_ages(self, age):
        self.ages = dict.fromkeys(self.ages, age)
        assert self.index_again() == set()

    @rule()
    def lose_the_cohort(self):
        (self.results / "cohort.parquet").unlink()
        assert self.index_again() == set()

    @rule(data=st.data())
    def lose_a_manifest(self, data):
        number = data.draw(st.sampled_from(list_shards(self.results)))
        (self.results / "shards" / f"{shard_name(number)}.parquet").write_bytes(b"")
        assert self.index_again() == self.manifests({number})

    @invariant()
    def nothing_is_lost(self):
        inside = {
            series.series_id: number
            for number in list_shards(self.results)
            for series in read_shard(self.results / "shards" / f"{shard_name(number)}.parquet")
        }
        assert inside == self.placed
        assert len(inside) == len(self.ages)
        names = [shard_name(number) for number in list_shards(self.results)]
        assert list(read_loads(self.results)) == names

    def index_again(self) -> set[str]:
        """Names of the manifests written or removed; checks that the kept series stayed."""
        lines = [f"{n}.nii,{n:02d},T1w,{age}" for n, age in self.ages.items()]
        listed = self.folder / "t.csv"
        listed.write_text("\n".join(["path,subject,contrast,age", *lines]))
        before = file_states(self.results)
        index(self.results, table(listed), shard_series=4)
        written = touched(before, file_states(self.results))
        now = {one: row["shard"] for one, row in cohort_rows(self.results).items()}
        assert {one: now[one] for one in now if one in self.placed} == {
            one: number for one, number in self.placed.items() if one in now
        }
        fresh = {number for one, number in now.items() if one not in self.placed}
        assert not fresh & self.numbers, "a shard's number was used again"
        self.numbers |= fresh
        self.placed = now
        return {name for name in written if name.startswith("shards/shard-")}

    @staticmethod
    def manifests(numbers: set[int]) -> set[str]:
        return {f"shards/{shard_name(number)}.parquet" for number in numbers}

    def teardown(self):
        shutil.rmtree(getattr(self, "folder", "/nonexistent"), ignore_errors=True)


TestCohort = Cohort.TestCase
TestCohort.settings = settings(max_examples=12, stateful_step_count=10, deadline=None)
