package bench

import "context"

// EncryptAnother has envelopes encrypted, and opens them when another data key is said to
// be in one.
func EncryptAnother(ctx context.Context, s *Subject) error {
	made := dataKeys(2)
	if err := s.encrypt(ctx, s.Clients[0], made); err != nil {
		return err
	}
	made[1].dek = made[0].dek
	return s.opens(ctx, append(made, dataKeys(1)...))
}

// UnwrapAnother opens an envelope that another data key is said to be in.
func UnwrapAnother(ctx context.Context, s *Subject) error {
	some, err := s.wrap(ctx, 2)
	if err != nil {
		return err
	}
	some[1].dek = some[0].dek
	return unwrap(ctx, s.Clients[0], some)
}
