"""A Spark job of two threads on this machine: `python spark_job.py BUNDLE USERS OUT K [CANDIDATES]`."""

from __future__ import annotations

import sys

from pyspark.sql import SparkSession

from export.spark import scorer


def main() -> None:
    bundle, users, out, k, *candidates = sys.argv[1:]
    settings = {"spark.ui.enabled": "false", "spark.sql.execution.arrow.maxRecordsPerBatch": "7"}
    spark = SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
    frame = spark.read.parquet(users)
    scored = scorer(bundle, k=int(k), candidates=candidates[0] if candidates else None)
    frame.mapInArrow(scored, scored.schema(frame)).write.parquet(out)
    print(scored.schema(frame))
    spark.stop()


if __name__ == "__main__":
    main()
