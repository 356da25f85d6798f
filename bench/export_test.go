package bench

import "context"

// UnwrapAnother opens an envelope that another data key is said to be in.
func UnwrapAnother(ctx context.Context, s *Subject) error {
	some, err := s.wrap(2)
	if err != nil {
		return err
	}
	some[1].dek = some[0].dek
	return unwrap(ctx, s.Clients[0], some)
}
