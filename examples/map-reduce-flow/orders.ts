import { sql } from "../../lib/index.ts";

/** Orders as they are in files of CSV with the columns `id`, `customer`, `placed`, `country` and `amount`. */
export const mapper = sql(
  `SELECT country AS key, id, customer, placed, amount
   FROM records
   WHERE amount > 0`,
  { columns: { id: "BIGINT", placed: "TIMESTAMP", amount: "DECIMAL(12, 2)" } },
);

/** All of a country lie together, in the order in which they were placed, with what its customers had spent by then. */
export const reducer = sql(
  `SELECT key AS country, * EXCLUDE key, sum(amount) OVER (PARTITION BY key, customer ORDER BY placed, id) AS spent
   FROM pairs
   ORDER BY country, placed, id`,
);
