"""The probe: can what is not the artefact tell the classes of a training set apart?"""
