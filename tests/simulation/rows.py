"""What a batch has to send; it may have other rows on the next try."""

ROWS = [
    # The third is told two things; the last row is the first once more.
    [(1, "a"), (2, "a"), (3, "a"), (3, "b"), (1, "a")],
    # One has another text, one is gone, one is new.
    [(1, "changed"), (3, "a"), (4, "a")],
]
ROWS_TO = {
    f"/pass/{pass_id}/notify": max(len({text for i, text in rows if i == pass_id}) for rows in ROWS)
    for pass_id in (1, 2, 3, 4)
}
