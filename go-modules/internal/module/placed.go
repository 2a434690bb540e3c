package module

import (
	"context"

	"corvus.murder/internal/artifact"
)

// How much murder_peer does to find out that an artifact is in place already.
const (
	quick = "quick" // believe the record of it while no file has changed since
	full  = "full"  // hash every byte
)

// inPlace tells whether the artifact is at its destination: by the record of it, which takes one look at each file,
// else by hashing it, which makes a record for the next time.
func (d *delivery) inPlace(ctx context.Context, plan *artifact.Plan) (bool, error) {
	d.record = d.records.Load(plan.Dest)
	if (d.verify == quick || d.result != nil) && plan.Matches(d.record) { // what has just come was verified as it came
		return true, nil
	}
	complete, record, err := plan.Certify(ctx)
	if err != nil || !complete {
		return false, err
	}
	if d.record.Infohash == record.Infohash {
		record.When = d.record.When
	}
	d.remember(record)
	return true, nil
}

// remember keeps a record. Failing to is no failure of the deploy: the next run hashes.
func (d *delivery) remember(record artifact.Record) {
	d.record = record
	if d.call.Check {
		return
	}
	if err := d.records.Save(record); err != nil {
		d.warnings = append(d.warnings, err.Error())
	}
}
